"""One style for all dashboards: what a query, a panel, a variable and a link look like.

A panel has a title, a plain sentence that says what it shows, a unit, and, where there is an alert
about it, a link to the page that says what to do.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from grafana_foundation_sdk.builders import bargauge, common, prometheus, stat, table, timeseries
from grafana_foundation_sdk.builders import dashboard as build
from grafana_foundation_sdk.cog import variants
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models import common as options
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import prometheus as prometheus_model
from grafana_foundation_sdk.models import table as table_model

PROMETHEUS = model.DataSourceRef("prometheus", "${prometheus}")
POSTGRES = model.DataSourceRef("grafana-postgresql-datasource", "${postgres}")
REPOSITORY = "https://klankbord.example"
"""Where this repository can be read; whoever installs the dashboards says where it is for them."""
TAG = "klankbord"

WELL, WARN, BAD, PLAIN = "green", "orange", "red", "text"

Steps = Mapping[float, str]
"""From which value on a number has which colour; below the first it is well."""
Query = Builder[variants.Dataquery]
Panel = stat.Panel | bargauge.Panel | timeseries.Panel | table.Panel
PanelT = TypeVar("PanelT", stat.Panel, bargauge.Panel, timeseries.Panel, table.Panel)


# ── Queries ──────────────────────────────────────────────────────────────────────────────────────


def promql(
    expression: str,
    legend: str = "",
    *,
    now: bool = False,
    in_columns: bool = False,
    traced: bool = False,
) -> Query:
    """A query to Prometheus.

    Args:
        expression: in PromQL.
        legend: what a series is called, with its labels as `{{label}}`.
        now: the last values alone, not what they were over time.
        in_columns: the last values as a table, in which each label is a column.
        traced: show the exemplars, which lead to traces.
    """
    query = (
        prometheus.Dataquery()
        .datasource(PROMETHEUS)
        .expr(" ".join(expression.split()))
        .legend_format(legend or "__auto")
        .exemplar(traced)
    )
    if in_columns:
        return query.instant().format(prometheus_model.PromQueryFormat.TABLE)
    return query.instant() if now else query.range()


def or_none(expression: str, label: str) -> str:
    """The same, or a 0 where there is nothing yet, with `none` as its label."""
    return f'{expression} or on() label_replace(vector(0), "{label}", "none", "", "")'


def if_any(expression: str) -> str:
    """What is not 0; or one 0, where all is: so that of many series only those are seen."""
    return f"({expression} > 0) or on() vector(0)"


@dataclass
class SqlQuery(variants.Dataquery, Builder["SqlQuery"]):
    """A query to PostgreSQL, which the SDK does not know."""

    sql: str
    form: str
    ref_id: str = "A"

    def build(self) -> "SqlQuery":
        """It is its own builder."""
        return self

    def to_json(self) -> dict[str, object]:
        """As Grafana's SQL editor writes it."""
        return {
            "datasource": POSTGRES,
            "editorMode": "code",
            "format": self.form,
            "rawQuery": True,
            "rawSql": self.sql.strip(),
            "refId": self.ref_id,
        }


def sql(text: str) -> SqlQuery:
    """A query to PostgreSQL that gives a table."""
    return SqlQuery(text, "table")


def sql_over_time(text: str) -> SqlQuery:
    """A query to PostgreSQL that gives series: `time`, numbers, perhaps `metric`, their name."""
    return SqlQuery(text, "time_series")


# ── Panels ───────────────────────────────────────────────────────────────────────────────────────


def figures(
    title: str,
    says: str,
    *queries: Query,
    unit: str,
    steps: Steps | None = None,
    trend: bool = False,
    empty: str = "0",
) -> stat.Panel:
    """Large numbers, side by side: the last value of each series, or each column of a row.

    Args:
        title: of the panel.
        says: what it shows, in a sentence.
        queries: what it asks.
        unit: of the numbers.
        steps: from which value on a number is no longer well; none where it is never bad.
        trend: draw what the number was over time behind it.
        empty: what is said where there is nothing to measure.
    """
    panel = (
        stat.Panel()
        .height(5)
        .graph_mode(options.BigValueGraphMode.AREA if trend else options.BigValueGraphMode.NONE)
        .color_mode(options.BigValueColorMode.VALUE)
        .reduce_options(_last())
        .text(common.VizTextDisplayOptions().title_size(14).value_size(30))
        .no_value(empty)
    )
    if trend:  # each by its own measure
        panel.height(6).override_by_regexp(".*", [model.DynamicConfigValue("fieldMinMax", True)])
    return _told(panel, title, says, queries, unit, steps or {})


def lines(
    title: str,
    says: str,
    *queries: Query,
    unit: str,
    steps: Steps | None = None,
    highest: float | None = None,
) -> timeseries.Panel:
    """Lines over time, with a dashed one where a number is no longer well."""
    panel = _over_time().fill_opacity(8).line_width(2)
    panel.show_points(options.VisibilityMode.AUTO)
    if highest is not None:
        panel.max(highest)
    if steps:
        dashed = common.GraphThresholdsStyleConfig()
        panel.thresholds_style(dashed.mode(options.GraphThresholdsStyleMode.DASHED))
    return _many_coloured(_told(panel, title, says, queries, unit, steps or {}))


def bars(title: str, says: str, *queries: Query, unit: str) -> timeseries.Panel:
    """Bars over time, one part on the other: so their height is the whole."""
    panel = (
        _over_time()
        .draw_style(options.GraphDrawStyle.BARS)
        .bar_alignment(options.BarAlignment.AFTER)
        .bar_width_factor(0.8)
        .fill_opacity(80)
        .line_width(0)
        .stacking(common.StackingConfig().mode(options.StackingMode.NORMAL).group("A"))
    )
    return _many_coloured(_told(panel, title, says, queries, unit, {}))


def gauges(
    title: str,
    says: str,
    *queries: Query,
    unit: str,
    steps: Steps | None = None,
    highest: float | None = None,
    empty: str = "none",
) -> bargauge.Panel:
    """A bar for each name, to compare them; of a table each row is one."""
    of_rows = any(isinstance(query, SqlQuery) for query in queries)
    panel = (
        bargauge.Panel()
        .height(8)
        .orientation(options.VizOrientation.HORIZONTAL)
        .display_mode(options.BarGaugeDisplayMode.BASIC)
        .show_unfilled(True)
        .sizing(options.BarGaugeSizing.MANUAL)
        .min_viz_height(16)
        .max_viz_height(36)
        .text(common.VizTextDisplayOptions().title_size(12).value_size(16))
        .reduce_options(_last().values(of_rows))
        .min(0)
        .no_value(empty)
    )
    if highest is not None:
        panel.max(highest)
    if steps:
        return _told(panel, title, says, queries, unit, steps)
    return _told(panel, title, says, queries, unit, {}).color_scheme(
        build.FieldColor().mode(model.FieldColorModeId.FIXED).fixed_color("blue")
    )


def rows(
    title: str,
    says: str,
    *queries: Query,
    columns: Mapping[str, Sequence[model.DynamicConfigValue]] | None = None,
    empty: str = "none",
) -> table.Panel:
    """A table, with few columns, so that it can be read on a phone.

    Args:
        title: of the panel.
        says: what it shows, in a sentence.
        queries: what it asks; several are joined by what they have in common.
        columns: how a column is shown, by its name (`shown`).
        empty: what is said where there is no row.
    """
    panel = table.Panel().height(8).cell_height(options.TableCellHeight.SM).no_value(empty)
    for name, shape in (columns or {}).items():
        panel.override_by_name(name, list(shape))
    made = panel.build()
    assert isinstance(made.options, table_model.Options)
    made.options.footer = None  # the schema of Grafana 13 has none
    return _told(panel, title, says, queries, "none", {})


def shown(
    *,
    unit: str | None = None,
    steps: Steps | None = None,
    width: int | None = None,
    opens: bool = False,
    absent: str = "",
) -> list[model.DynamicConfigValue]:
    """How a column of a table is shown.

    Args:
        unit: of its numbers.
        steps: from which value on one is coloured.
        width: in pixels; none takes what is left.
        opens: it is an address: a word to click on, which opens it.
        absent: what is said where a row has none.
    """
    shape = []
    if unit:
        shape.append(model.DynamicConfigValue("unit", unit))
    if width:
        shape.append(model.DynamicConfigValue("custom.width", width))
    if steps:
        shape.append(model.DynamicConfigValue("custom.cellOptions", {"type": "color-text"}))
        shape.append(model.DynamicConfigValue("color", {"mode": "thresholds"}))
        shape.append(model.DynamicConfigValue("thresholds", _steps(steps, PLAIN).build()))
    if absent:
        shape.append(model.DynamicConfigValue("noValue", absent))
    if opens:
        to = {"title": "Open", "url": "${__value.raw}", "targetBlank": True}
        word = {"type": "regex", "options": {"pattern": ".+", "result": {"text": "open"}}}
        shape.append(model.DynamicConfigValue("links", [to]))
        shape.append(model.DynamicConfigValue("mappings", [word]))
    return shape


def on_alert(panel: PanelT, *alerts: str) -> PanelT:
    """The panel, with a link to what to do when one of these alerts fires."""
    return panel.links(
        [
            build.DashboardLink(f"What to do: {alert}")
            .type(model.DashboardLinkType.LINK)
            .url(f"${{repository}}/docs/runbooks/{page_of(alert)}")
            .target_blank(True)
            for alert in alerts
        ]
    )


def page_of(alert: str) -> str:
    """The file of an alert's page in docs/runbooks: `LagGrows` is `lag-grows.md`."""
    spaced = "".join(f"-{letter.lower()}" if letter.isupper() else letter for letter in alert)
    return f"{spaced.removeprefix('-')}.md"


def _over_time() -> timeseries.Panel:
    legend = common.VizLegendOptions().show_legend(True)
    return (
        timeseries.Panel()
        .height(8)
        .axis_soft_min(0)
        .legend(
            legend.display_mode(options.LegendDisplayMode.LIST).placement(
                options.LegendPlacement.BOTTOM
            )
        )
        .tooltip(
            common.VizTooltipOptions()
            .mode(options.TooltipDisplayMode.MULTI)
            .sort(options.SortOrder.DESCENDING)
        )
    )


def _many_coloured(panel: timeseries.Panel) -> timeseries.Panel:
    return panel.color_scheme(build.FieldColor().mode(model.FieldColorModeId.PALETTE_CLASSIC))


def _told(
    panel: PanelT, title: str, says: str, queries: Sequence[Query], unit: str, steps: Steps
) -> PanelT:
    panel.title(title).description(" ".join(says.split())).unit(unit)
    panel.thresholds(_steps(steps, WELL if steps else PLAIN))
    for letter, query in zip("ABCDEFGH", queries, strict=False):
        built = query.build()
        built.ref_id = letter  # type: ignore[attr-defined] # both kinds of query have one
        panel.with_target(query)
    (source,) = {_source(query) for query in queries}
    return panel.datasource(PROMETHEUS if source == "prometheus" else POSTGRES)


def _source(query: Query) -> str:
    return "postgres" if isinstance(query, SqlQuery) else "prometheus"


def _last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"]).values(False)


def _steps(steps: Steps, below: str) -> build.ThresholdsConfig:
    return (
        build.ThresholdsConfig()
        .mode(model.ThresholdsMode.ABSOLUTE)
        .steps(
            [
                model.Threshold(None, below),
                *(model.Threshold(value, colour) for value, colour in sorted(steps.items())),
            ]
        )
    )


# ── Dashboards ───────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True)
class Event:
    """What is marked in the graphs when it happens."""

    name: str
    colour: str
    query: SqlQuery


def board(
    uid: str,
    title: str,
    answers: str,
    rows_of_panels: Sequence[Sequence[Panel]],
    *,
    since: str,
    refresh: str,
    variables: Sequence[Builder[model.VariableModel]] = (),
    events: Sequence[Event] = (),
) -> build.Dashboard:
    """A dashboard.

    Args:
        uid: its address, which others link to.
        title: its name.
        answers: the questions that it answers.
        rows_of_panels: those side by side share the width; on a phone each has it whole.
        since: what it shows of the past when it is opened.
        refresh: how often it asks anew.
        variables: what a reader chooses, besides the data sources.
        events: what is marked in its graphs.
    """
    made = (
        build.Dashboard(title)
        .uid(uid)
        .description(answers)
        .tags([TAG])
        .time(since, "now")
        .refresh(refresh)
        .timezone("browser")
        .tooltip(model.DashboardCursorSync.CROSSHAIR)
        .editable()
        .link(_other_boards())
        .link(
            build.DashboardLink("What to do")
            .type(model.DashboardLinkType.LINK)
            .icon("doc")
            .url("${repository}/docs/runbooks")
            .target_blank(True)
        )
    )
    sources = (
        _data_source("prometheus", "Prometheus", "prometheus"),
        _data_source("postgres", "PostgreSQL", "grafana-postgresql-datasource"),
        build.ConstantVariable("repository").value(REPOSITORY),
    )
    for variable in (*variables, *sources):
        made.with_variable(variable)
    for number, panels in enumerate(rows_of_panels):
        boxes = [panel.build().grid_pos or model.GridPos() for panel in panels]
        height = max(box.h for box in boxes)
        for place, panel in enumerate(panels):
            panel.id(10 * number + place + 1)
            made.with_panel(panel.span(24 // len(panels)).height(height))
    return made.annotations([_annotation(event) for event in events])


def community(*, several: bool) -> build.QueryVariable:
    """The community that is looked at; `several` may be looked at together."""
    chosen = (
        build.QueryVariable("community")
        .label("Community")
        .datasource(POSTGRES)
        .query(
            "select name as __text, community as __value "
            "from metrics.published_community order by name"
        )
        .refresh(model.VariableRefresh.ON_DASHBOARD_LOAD)
        .multi(several)
        .include_all(several)
    )
    return chosen.current(_everything()) if several else chosen


def source() -> build.QueryVariable:
    """The sources that are looked at, of those of the chosen communities."""
    return (
        build.QueryVariable("source")
        .label("Source")
        .datasource(PROMETHEUS)
        .query(
            {
                "query": "label_values("
                'klankbord_ingest_source_info{community=~"$community"}, source)',
                "refId": "source",
            }
        )
        .refresh(model.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(model.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(_everything())
    )


def _everything() -> model.VariableOption:
    return model.VariableOption(selected=True, text=["All"], value=["$__all"])


def _data_source(name: str, label: str, kind: str) -> build.DatasourceVariable:
    """Where the data is; where there is one of the kind, nobody has to choose."""
    return build.DatasourceVariable(name).label(label).type(kind)


def _other_boards() -> build.DashboardLink:
    return (
        build.DashboardLink("Klankbord")
        .type(model.DashboardLinkType.DASHBOARDS)
        .tags([TAG])
        .as_dropdown(True)
        .keep_time(False)
        .icon("external link")
    )


class _AnnotationTarget(model.AnnotationTarget):
    """The SDK's target knows Grafana's own annotations alone."""

    def __init__(self, query: SqlQuery) -> None:
        super().__init__()
        self._query = query

        self.limit, self.match_any, self.tags, self.type_val = 100, False, [], "dashboard"

    def to_json(self) -> dict[str, object]:
        return super().to_json() | self._query.to_json()


def _annotation(event: Event) -> build.AnnotationQuery:
    made = (
        build.AnnotationQuery()
        .name(event.name)
        .datasource(POSTGRES)
        .enable(True)
        .hide(False)
        .icon_color(event.colour)
    )
    made.build().target = _AnnotationTarget(event.query)
    return made
