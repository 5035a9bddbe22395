// A dashboard, drawn with the components that Grafana draws it with: the panels and what their
// fields look like are read from the committed JSON, and so is where they stand.
//
// `require`, not `import`: what @grafana/ui has for the latter ends in .mjs, where esbuild takes the
// default of a CommonJS module as Node does, and Grafana's own bundler does not.
const {
  FieldConfigOptionsRegistry, FieldConfigProperty, ThemeContext, VizOrientation, applyFieldOverrides,
  createTheme, dateTime, getDisplayValueAlignmentFactors, getFieldDisplayValues,
  identityOverrideProcessor, standardTransformers, standardTransformersRegistry, transformDataFrame,
} = require("@grafana/data");
const {
  BarGauge, BigValue, GlobalStyles, PanelChrome, Table, TimeSeries, VizRepeater,
} = require("@grafana/ui");
const { createRoot } = require("react-dom/client");
require("uplot/dist/uPlot.min.css");
const { lastValueFrom } = require("rxjs");
const { framesOf } = require("./frames.js");

const { dashboard, answers, events, begin, end, width } = window.shown;
const ROW = 30;
const GAP = 8;
const SIDE = 16;
const HEAD = 64;
const theme = createTheme({ colors: { mode: "light" } });
const timeRange = { from: dateTime(begin), to: dateTime(end), raw: { from: begin, to: end } };
const zone = dashboard.timezone === "browser" ? Intl.DateTimeFormat().resolvedOptions().timeZone : dashboard.timezone;

// Which options a field of the panel may have: those that its JSON gives.
function registryOf({ defaults, overrides }) {
  const given = new Set([...Object.keys(defaults.custom ?? {}).map((key) => `custom.${key}`)]);
  for (const { properties } of overrides) for (const { id } of properties) given.add(id);
  const custom = [...given].filter((id) => id.startsWith("custom."));
  const item = (id, path) => ({
    id, path, name: id, isCustom: id !== path, editor: () => null, override: () => null,
    process: identityOverrideProcessor, shouldApply: () => true, settings: {},
  });
  return new FieldConfigOptionsRegistry(() => [
    ...Object.values(FieldConfigProperty).map((id) => item(id, id)),
    ...custom.map((id) => item(id, id.replace("custom.", ""))),
  ]);
}

const {
  filterFieldsByNameTransformer, mergeTransformer, organizeFieldsTransformer,
} = standardTransformers;
standardTransformersRegistry.setInit(() =>
  [filterFieldsByNameTransformer, mergeTransformer, organizeFieldsTransformer].map((one) =>
    ({ id: one.id, name: one.name, transformation: async () => one })),
);

async function dataOf(panel) {
  const fieldConfig = { overrides: [], ...panel.fieldConfig };
  const frames = answers[panel.id].flatMap(framesOf);
  return applyFieldOverrides({
    data: await lastValueFrom(transformDataFrame(panel.transformations ?? [], frames)),
    fieldConfig,
    fieldConfigRegistry: registryOf(fieldConfig),
    replaceVariables: (text) => text,
    theme,
    timeZone: zone,
  });
}

function Figures({ panel, data, width, height }) {
  const { options } = panel;
  const getValues = () => getFieldDisplayValues({
    fieldConfig: panel.fieldConfig,
    reduceOptions: options.reduceOptions,
    replaceVariables: (text) => text,
    theme,
    data,
    sparkline: options.graphMode !== "none",
    timeZone: zone,
  });
  const render = ({ value, width, height, alignmentFactors, count }) => (
    <BigValue
      value={value.display} sparkline={value.sparkline} count={count} theme={theme}
      colorMode={options.colorMode} graphMode={options.graphMode} justifyMode={options.justifyMode}
      textMode={options.textMode} text={options.text} alignmentFactors={alignmentFactors} width={width} height={height}
    />
  );
  return (
    <VizRepeater
      getValues={getValues} renderValue={render} source={data} renderCounter={0}
      getAlignmentFactors={getDisplayValueAlignmentFactors} width={width} height={height}
      itemSpacing={3} autoGrid orientation={options.orientation || VizOrientation.Auto}
    />
  );
}

// What happened is a dashed line with a triangle at its foot.
function marks(builder) {
  builder.addHook("draw", (plot) => {
    const { ctx, bbox } = plot;
    ctx.save();
    for (const { time, colour } of events) {
      const x = plot.valToPos(Date.parse(time), "x", true);
      if (x < bbox.left || x > bbox.left + bbox.width) continue;
      ctx.strokeStyle = ctx.fillStyle = theme.visualization.getColorByName(colour);
      ctx.setLineDash([6, 6]);
      ctx.lineWidth = 2;
      ctx.beginPath();
      ctx.moveTo(x, bbox.top);
      ctx.lineTo(x, bbox.top + bbox.height);
      ctx.stroke();
      ctx.beginPath();
      ctx.moveTo(x, bbox.top + bbox.height - 10);
      ctx.lineTo(x - 7, bbox.top + bbox.height + 2);
      ctx.lineTo(x + 7, bbox.top + bbox.height + 2);
      ctx.fill();
    }
    ctx.restore();
  });
  return null;
}

function OverTime({ panel, data, width, height }) {
  return (
    <TimeSeries
      frames={data} timeRange={timeRange} timeZone={zone} width={width} height={height}
      legend={panel.options.legend} options={panel.options}
    >
      {marks}
    </TimeSeries>
  );
}

function Gauges({ panel, data, width, height }) {
  const { options, fieldConfig } = panel;
  const { reduceOptions } = options;
  const replaceVariables = (text) => text;
  const getValues = () => getFieldDisplayValues({
    fieldConfig, reduceOptions, replaceVariables, theme, data, timeZone: zone,
  });
  const render = ({ value: { display, field, view, colIndex }, width, height, alignmentFactors }) => (
    <BarGauge
      value={display} field={field} display={view?.getFieldDisplayProcessor(colIndex)} theme={theme}
      displayMode={options.displayMode} orientation={options.orientation} itemSpacing={8}
      showUnfilled={options.showUnfilled} text={options.text} alignmentFactors={alignmentFactors} width={width}
      height={height} lcdCellWidth={10}
    />
  );
  return (
    <VizRepeater
      getValues={getValues} renderValue={render} source={data} renderCounter={0}
      getAlignmentFactors={getDisplayValueAlignmentFactors} width={width} height={height}
      itemSpacing={10} orientation={options.orientation} 
      minVizHeight={options.minVizHeight} maxVizHeight={options.maxVizHeight}
    />
  );
}

function Rows({ data: [frame], width, height }) {
  return <Table data={frame} width={width} height={height} cellHeight="sm" />;
}

const KINDS = { stat: Figures, timeseries: OverTime, table: Rows, bargauge: Gauges };

function Panel({ panel, data }) {
  const Kind = KINDS[panel.type];
  const { x, y, w, h } = panel.gridPos;
  const column = (width - 2 * SIDE + GAP) / 24;
  const place = {
    position: "absolute", left: SIDE + x * column, top: HEAD + y * (ROW + GAP),
  };
  return (
    <div style={place}>
      <PanelChrome
        title={panel.title} description={panel.description} width={w * column - GAP}
        height={h * (ROW + GAP) - GAP}
      >
        {(innerWidth, innerHeight) => (
          <Kind panel={panel} data={data} width={innerWidth} height={innerHeight} />
        )}
      </PanelChrome>
    </div>
  );
}

function Board({ data }) {
  const foot = Math.max(...dashboard.panels.map(({ gridPos: { y, h } }) => y + h));
  const canvas = {
    position: "relative", width, height: HEAD + foot * (ROW + GAP) + GAP,
    background: theme.colors.background.canvas,
  };
  return (
    <div id="board" style={canvas}>
      <h1 style={{ ...theme.typography.h3, padding: `18px ${SIDE}px`, margin: 0 }}>{dashboard.title}</h1>
      {dashboard.panels.map((panel, place) => (
        <Panel key={panel.id} panel={panel} data={data[place]} />
      ))}
    </div>
  );
}

Promise.all(dashboard.panels.map(dataOf)).then((data) =>
  createRoot(document.getElementById("root")).render(
    <ThemeContext.Provider value={theme}>
      <GlobalStyles />
      <Board data={data} />
    </ThemeContext.Provider>,
  ),
);
