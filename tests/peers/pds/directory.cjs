// A directory of identities (PLC) for as long as the process lives; the argument is its port.
"use strict";

const { Database, PlcServer } = require("@did-plc/server");

const directory = PlcServer.create({ db: Database.mock(), port: Number(process.argv[2]) });
directory.start().then(() => process.stdout.write("ready\n"));
process.on("SIGTERM", () => directory.destroy().then(() => process.exit(0)));
