// Says what in a dashboard Grafana's own types do not allow:
//   node check.mjs <dashboard.json>…
// Prints a JSON object: the name of each file, and what is wrong in it. @grafana/schema has the
// types of a dashboard, and of the options and the field configuration of each kind of panel.
import { readFileSync } from "node:fs";
import { basename } from "node:path";
import Ajv from "ajv";
import { createGenerator } from "ts-json-schema-generator";

const RAW = new URL("node_modules/@grafana/schema/dist/types/raw/", import.meta.url).pathname;

function validator(path, type) {
  const config = { path: RAW + path, type, skipTypeCheck: true, additionalProperties: type === "Dashboard" };
  const schema = createGenerator(config).createSchema(type);
  return new Ajv({ strict: false, allErrors: true, allowUnionTypes: true }).compile(schema);
}

const made = new Map();
function validatorOf(path, type) {
  const key = `${path} ${type}`;
  if (!made.has(key)) made.set(key, validator(path, type));
  return made.get(key);
}

function problems(validate, value, where) {
  if (validate(value)) return [];
  return validate.errors.map(({ instancePath, message, params }) =>
    `${where}${instancePath} ${message} ${JSON.stringify(params)}`);
}

function wrongIn(dashboard) {
  const found = problems(validatorOf("dashboard/x/types.gen.d.ts", "Dashboard"), dashboard, "");
  for (const panel of dashboard.panels) {
    const types = `composable/${panel.type}/panelcfg/x/types.gen.d.ts`;
    found.push(...problems(validatorOf(types, "Options"), panel.options, `${panel.title}: options`));
    const custom = panel.fieldConfig.defaults.custom;
    if (custom !== undefined)
      found.push(...problems(validatorOf(types, "FieldConfig"), custom, `${panel.title}: custom`));
  }
  return found;
}

const said = {};
for (const path of process.argv.slice(2))
  said[basename(path)] = wrongIn(JSON.parse(readFileSync(path, "utf8")));
console.log(JSON.stringify(said, null, 2));
