"""What every Klankbord service stands on; it knows no word of what the services do."""
