// Answers of the data sources as Grafana's data frames.
const { FieldType, createDataFrame } = require("@grafana/data");

const MOMENT = /^\d{4}-\d{2}-\d{2}T/;

function framesOf(answer) {
  if (answer.kind === "series" && answer.format === "table") return [frameOfLabels(answer)];
  if (answer.kind === "series") return answer.series.map((one) => frameOfSeries(one, answer));
  return [answer.format === "time_series" ? wide(answer.rows) : frameOfRows(answer.rows)];
}

function frameOfSeries({ labels, samples }, { refId, legend }) {
  const name = legend.replace(/{{(\w+)}}/g, (_, label) => labels[label] ?? "");
  return createDataFrame({
    refId,
    fields: [
      { name: "Time", type: FieldType.time, values: samples.map(([moment]) => moment * 1000) },
      {
        name: "Value",
        type: FieldType.number,
        values: samples.map(([, value]) => value),
        labels,
        config: { displayNameFromDS: name },
      },
    ],
  });
}

// Each label is a column, and the last value one too.
function frameOfLabels({ series, refId }) {
  const rows = series.map(({ labels, samples: [[moment, value]] }) =>
    ({ Time: new Date(moment * 1000).toISOString(), ...labels, [`Value #${refId}`]: value }));
  const frame = frameOfRows(rows);
  frame.refId = refId;
  return frame;
}

function frameOfRows(rows) {
  const fields = Object.keys(rows[0] ?? {}).map((name) => fieldOf(name, rows.map((row) => row[name])));
  return createDataFrame({ fields });
}

function fieldOf(name, values) {
  const known = values.find((value) => value !== null);
  if (typeof known === "number") return { name, type: FieldType.number, values };
  if (MOMENT.test(known)) return { name, type: FieldType.time, values: values.map(Date.parse) };
  return { name, type: FieldType.string, values };
}

// Rows of `time`, `metric` and a number become a series for each metric, as Grafana does it.
function wide(rows) {
  if (rows.length === 0 || !("metric" in rows[0])) return frameOfRows(rows);
  const names = [...new Set(rows.map((row) => row.metric))];
  const by_time = new Map();
  for (const { time, metric, value } of rows) {
    if (!by_time.has(time)) by_time.set(time, { time, ...Object.fromEntries(names.map((n) => [n, null])) });
    by_time.get(time)[metric] = value;
  }
  return frameOfRows([...by_time.values()]);
}

module.exports = { framesOf };
