// A server of the AT Protocol. What it holds lies in the folder that the first argument names; the
// others are its port and that of the directory of identities. It says `ready` once it answers.
"use strict";

const { mkdirSync } = require("node:fs");
const { join } = require("node:path");

const [folder, port, directory] = process.argv.slice(2);

// Read as soon as the package is loaded, so it is set before.
Object.assign(process.env, {
  LOG_ENABLED: "false",
  PDS_PORT: port,
  PDS_HOSTNAME: "localhost",
  PDS_DEV_MODE: "true",
  PDS_DATA_DIRECTORY: folder,
  PDS_BLOBSTORE_DISK_LOCATION: join(folder, "blobs"),
  PDS_DID_PLC_URL: `http://127.0.0.1:${directory}`,
  PDS_SERVICE_HANDLE_DOMAINS: ".test",
  PDS_INVITE_REQUIRED: "false",
  PDS_DISABLE_SSRF_PROTECTION: "true",
  PDS_JWT_SECRET: "a secret of a test",
  PDS_ADMIN_PASSWORD: "a password of a test",
  PDS_PLC_ROTATION_KEY_K256_PRIVATE_KEY_HEX: "7".repeat(64),
});

const { PDS, envToCfg, envToSecrets, readEnv } = require("@atproto/pds");

async function main() {
  mkdirSync(join(folder, "blobs"), { recursive: true });
  const env = readEnv();
  const server = await PDS.create(envToCfg(env), envToSecrets(env));
  await server.start();
  process.stdout.write("ready\n");
  process.on("SIGTERM", () => server.destroy().then(() => process.exit(0)));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
