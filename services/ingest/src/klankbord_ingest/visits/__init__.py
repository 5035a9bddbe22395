"""What the web tells of a visit: who asks, how they came there, which campaign brought them."""
