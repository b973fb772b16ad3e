// Draws a dashboard from its JSON with Grafana's own components, against a real Prometheus. Development only.
//   ?dashboard=overview.json&prometheus=http://...&job=pcc&account=seoul&from=<s>&to=<s>&theme=dark
import './fonts.css';
import { useEffect, useState, type ReactNode } from 'react';
import { createRoot } from 'react-dom/client';
import { lastValueFrom } from 'rxjs';
import {
  applyFieldOverrides, cacheFieldDisplayNames, createTheme, dataLinksOverrideProcessor, dateTime, FieldConfigOptionsRegistry, FieldType,
  getDisplayValueAlignmentFactors, getFieldDisplayName, getFieldDisplayValues, getTimeZone, identityOverrideProcessor,
  valueMappingsOverrideProcessor, standardTransformersRegistry, standardTransformers, ThemeContext,
  thresholdsOverrideProcessor, toDataFrame, transformDataFrame, type DataFrame, type TimeRange,
} from '@grafana/data';
import { BigValue, GlobalStyles, PanelChrome, TimeSeries, VizRepeater } from '@grafana/ui';
import { TableNG } from '@grafana/ui/unstable';

type Json = any;
const given = new URLSearchParams(location.search);
const prometheus = given.get('prometheus')!;
const to = Number(given.get('to') ?? Date.now() / 1000);
const from = Number(given.get('from') ?? to - 900);
const scrape = Number(given.get('scrape') ?? 5);
const theme = createTheme({ colors: { mode: given.get('theme') === 'light' ? 'light' : 'dark' } });
const range: TimeRange = {
  from: dateTime(from * 1000), to: dateTime(to * 1000), raw: { from: dateTime(from * 1000), to: dateTime(to * 1000) },
};
const GRID = 24, GAP = 8, UNIT = 30, PADDING = 16; // Grafana's grid: cells of 30 px with 8 px between them
const HEADER = 32;

// ---- variables -----------------------------------------------------------------------------------------------------
const variables: Record<string, string> = { datasource: 'prometheus', namespace: given.get('namespace') ?? '.*',
  job: given.get('job') ?? 'pcc', receiver: given.get('receiver') ?? 'pcc-receiver', account: given.get('account') ?? '',
  docs: 'docs', page: 'page', __range: `${Math.round(to - from)}s` };
const filled = (text: string, more: Record<string, string> = {}): string =>
  text.replace(/\$\{?(\w+)(?::\w+)?\}?/g, (whole, name) => ({ ...variables, ...more })[name] ?? whole);

// ---- Prometheus ----------------------------------------------------------------------------------------------------
// The step is what Grafana would take: about one point a pixel, no finer than a scrape, rounded as a person would.
const NICE = [1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800];
const step = (pixels: number): number => {
  const least = Math.max((to - from) / pixels, scrape);
  return NICE.find((one) => one >= least) ?? 10800;
};

async function ask(path: string, parameters: Record<string, string>): Promise<Json> {
  const answer = await (await fetch(`${prometheus}/api/v1/${path}?${new URLSearchParams(parameters)}`)).json();
  if (answer.status !== 'success') { throw new Error(answer.error); }
  return answer.data.result;
}

function legend(target: Json, labels: Record<string, string>): string | undefined {
  const { __name__: metric, ...rest } = labels;
  if (target.legendFormat && target.legendFormat !== '__auto') {
    return target.legendFormat.replace(/\{\{\s*(.+?)\s*\}\}/g, (_: string, name: string) => labels[name] ?? '');
  }
  if (Object.keys(labels).length) { return undefined; }
  return metric ?? filled(target.expr); // Grafana shows the query itself where nothing else names a series
}

// As Grafana's own time series does: what is no number leaves a gap.
const finite = (value: string): number | null => (Number.isFinite(Number(value)) ? Number(value) : null);

// What Grafana's data source makes of the buckets of a histogram: sorted, and each without those below it.
function buckets(found: Json[], every: number): DataFrame {
  const sorted = [...found].sort((a, b) => Number(a.metric.le.replace('+Inf', 'Infinity')) - Number(b.metric.le.replace('+Inf', 'Infinity')));
  const times = [...new Set<number>(sorted.flatMap((one) => one.values.map(([at]: [number]) => at)))].sort((a, b) => a - b);
  let below = times.map(() => 0);
  const fields = sorted.map((one) => {
    const all = new Map<number, number>(one.values.map(([at, value]: [number, string]) => [at, Number(value)]));
    const counts = times.map((at, index) => Math.max(0, (all.get(at) ?? 0) - below[index]));
    below = times.map((at) => all.get(at) ?? 0);
    return { name: one.metric.le, type: FieldType.number, values: counts };
  });
  return toDataFrame({ fields: [{ name: 'Time', type: FieldType.time, values: times.map((at) => at * 1000), config: { interval: every * 1000 } }, ...fields] });
}

async function frames(panel: Json, target: Json, width: number): Promise<DataFrame[]> {
  const every = step(width);
  const expr = filled(target.expr, { __interval: `${every}s`, __rate_interval: `${Math.max(every + scrape, 4 * scrape)}s` });
  const found = target.instant
    ? await ask('query', { query: expr, time: String(to) })
    : await ask('query_range', { query: expr, start: String(Math.floor(from / every) * every),
        end: String(Math.floor(to / every) * every), step: String(every) });
  if (target.format === 'heatmap') { return found.length ? [buckets(found, every)] : []; }
  if (target.format === 'table') {
    if (!found.length) { return []; }
    const names = [...new Set<string>(found.flatMap((one: Json) => Object.keys(one.metric)))].sort();
    const several = panel.targets.length > 1;
    return [toDataFrame({ refId: target.refId, fields: [
      { name: 'Time', type: FieldType.time, values: found.map((one: Json) => one.value[0] * 1000) },
      ...names.map((name) => ({ name, type: FieldType.string, values: found.map((one: Json) => one.metric[name] ?? '') })),
      { name: several ? `Value #${target.refId}` : 'Value', type: FieldType.number,
        values: found.map((one: Json) => Number(one.value[1])) }] })];
  }
  return found.map((one: Json) => {
    const points: [number, string][] = one.values ?? [one.value];
    const shown = legend(target, one.metric);
    return toDataFrame({ refId: target.refId, name: shown, fields: [
      { name: 'Time', type: FieldType.time, values: points.map(([at]) => at * 1000), config: { interval: every * 1000 } },
      { name: 'Value', type: FieldType.number, labels: one.metric, values: points.map(([, value]) => finite(value)),
        config: shown ? { displayNameFromDS: shown } : {} }] });
  });
}

// ---- field options: what Grafana's own application registers at its start ---------------------------------------------
const CUSTOM: Record<string, Json> = {
  timeseries: { drawStyle: 'line', lineInterpolation: 'linear', lineWidth: 1, fillOpacity: 0, gradientMode: 'none',
    pointSize: 5, showPoints: 'auto', barAlignment: 0, barWidthFactor: 0.6, axisPlacement: 'auto', axisLabel: '',
    axisColorMode: 'text', axisGridShow: true, axisBorderShow: false, axisCenteredZero: false, spanNulls: false,
    scaleDistribution: { type: 'linear' }, stacking: { mode: 'none', group: 'A' }, thresholdsStyle: { mode: 'off' },
    hideFrom: { viz: false, legend: false, tooltip: false } },
  table: { align: 'auto', cellOptions: { type: 'auto' }, inspect: false },
  'state-timeline': { lineWidth: 0, fillOpacity: 70 },
  heatmap: {},
};
function registry(panel: Json): FieldConfigOptionsRegistry {
  const one = (id: string, isCustom: boolean, process: Json = identityOverrideProcessor): Json => ({
    id, path: isCustom ? id.slice('custom.'.length) : id, name: id, isCustom, process, shouldApply: () => true,
    settings: {}, override: () => null, editor: () => null });
  const own = ['unit', 'min', 'max', 'decimals', 'displayName', 'noValue', 'color', 'filterable'].map((id) => one(id, false));
  const special = [one('thresholds', false, thresholdsOverrideProcessor), one('mappings', false, valueMappingsOverrideProcessor),
    one('links', false, dataLinksOverrideProcessor)];
  const used = (panel.fieldConfig.overrides as Json[]).flatMap((each) => each.properties.map((each: Json) => each.id));
  const keys = [...Object.keys({ ...CUSTOM[panel.type], ...panel.fieldConfig.defaults.custom }).map((key) => `custom.${key}`), ...used];
  const custom = [...new Set<string>(keys)].filter((id) => id.startsWith('custom.'));
  return new FieldConfigOptionsRegistry(() => [...own, ...special, ...custom.map((id) => one(id, true))]);
}

async function data(panel: Json, width: number): Promise<DataFrame[]> {
  const series = (await Promise.all(panel.targets.map((target: Json) => frames(panel, target, width)))).flat();
  const changed = panel.transformations?.length
    ? await lastValueFrom(transformDataFrame(panel.transformations, series)) : series;
  const { defaults, overrides } = panel.fieldConfig;
  const fieldConfig = { defaults: { ...defaults, custom: { ...CUSTOM[panel.type], ...defaults.custom } }, overrides };
  const shown = applyFieldOverrides({ data: changed, fieldConfig, fieldConfigRegistry: registry(panel), theme,
    replaceVariables: (text: string) => filled(text), timeZone: 'browser' });
  cacheFieldDisplayNames(shown); // titles of columns
  return shown;
}

// ---- panels --------------------------------------------------------------------------------------------------------
function Note({ children }: { children: ReactNode }) {
  return <div style={{ display: 'grid', placeItems: 'center', height: '100%', fontSize: theme.typography.h4.fontSize,
    color: theme.colors.text.secondary }}><div>{children}</div></div>;
}

function Stat({ panel, series, width, height }: Json) {
  const { options } = panel;
  return <VizRepeater getValues={() => getFieldDisplayValues({ fieldConfig: panel.fieldConfig, theme, data: series,
      reduceOptions: options.reduceOptions, replaceVariables: (text: string) => filled(text), sparkline: false, timeZone: 'browser' })}
    getAlignmentFactors={getDisplayValueAlignmentFactors} width={width} height={height} source={series} itemSpacing={3}
    renderCounter={0} autoGrid orientation={options.orientation} renderValue={({ value, alignmentFactors, width, height, count }: Json) =>
      <BigValue value={value.display} count={count} colorMode={options.colorMode} graphMode={options.graphMode}
        justifyMode={options.justifyMode} textMode={options.textMode} alignmentFactors={alignmentFactors} width={width}
        height={height} theme={theme} text={options.text} disableWideLayout={!options.wideLayout} />} />;
}

// Not on the registry: Grafana's own timeline is part of its application. Bars only, and its rule that with a colour
// scheme "from thresholds" equal neighbours are merged into the thresholds they lie in, whatever the mappings say.
function Timeline({ panel, series, width, height }: Json) {
  const label = 140, span = (to - from) * 1000, row = Math.floor((height - 40) / Math.max(series.length, 1));
  return <div style={{ position: 'relative', width, height, overflow: 'hidden', fontSize: 12 }}>
    {series.map((frame: DataFrame, at: number) => {
      const [time, field] = frame.fields, every = time.config.interval!, { steps } = field.config.thresholds!;
      const merging = panel.options.mergeValues && field.config.color?.mode === 'thresholds';
      const shown = (value: number) => {
        if (!merging) { const got = field.display!(value); return { text: got.text, color: got.color! }; }
        const step = steps.filter((each) => value >= each.value).at(-1) ?? steps[0];
        return { text: `${Number.isFinite(step.value ?? -Infinity) ? step.value : '-∞'}+`, color: theme.visualization.getColorByName(step.color) };
      };
      const bars: Json[] = [];
      time.values.forEach((moment: number, index: number) => {
        const told = shown(field.values[index]), last = bars.at(-1);
        if (last && last.text === told.text && moment - last.end <= every) { last.end = moment + every; }
        else { bars.push({ ...told, begin: moment, end: moment + every }); }
      });
      return <div key={at} style={{ position: 'absolute', top: at * row, height: row * panel.options.rowHeight, width }}>
        <div style={{ position: 'absolute', width: label - 8, right: width - label + 8, textAlign: 'right', whiteSpace: 'nowrap',
          direction: 'ltr', top: row / 2 - 12, overflow: 'hidden' }}>{getFieldDisplayName(field, frame, series)}</div>
        {bars.map((bar, index) => <div key={index} style={{ position: 'absolute', top: 0, height: '100%', background: bar.color,
          opacity: 0.8, left: label + ((bar.begin - from * 1000) / span) * (width - label), overflow: 'hidden', padding: 2,
          width: Math.max(1, ((Math.min(bar.end, to * 1000) - bar.begin) / span) * (width - label)),
          color: theme.colors.getContrastText(bar.color.slice(0, 7)) }}>{bar.text}</div>)}
      </div>;
    })}
    <div data-drawn style={{ position: 'absolute', bottom: 0, right: 0, opacity: 0.6 }}>drawn by tools/panels, not by Grafana</div>
  </div>;
}

// Not on the registry either.
function Heatmap({ series, width, height }: Json) {
  const [time, ...rows] = (series[0] as DataFrame).fields, label = 50, base = 20, every = time.config.interval!, span = (to - from) * 1000;
  const most = Math.max(1e-9, ...rows.flatMap((row) => row.values)), row = (height - base) / rows.length;
  return <div style={{ position: 'relative', width, height, overflow: 'hidden', fontSize: 10 }}>
    {rows.map((field, at) => <div key={field.name} style={{ position: 'absolute', width, height: row, top: (rows.length - 1 - at) * row }}>
      <div style={{ position: 'absolute', width: label - 6, textAlign: 'right', top: row / 2 - 8 }}>{field.name}</div>
      {field.values.map((value: number, index: number) => value > 1e-9 && <div key={index} style={{ position: 'absolute', top: 0, height: row - 1,
        left: label + ((time.values[index] - from * 1000) / span) * (width - label), width: Math.max(1, (every / span) * (width - label) - 1),
        background: theme.visualization.getColorByName('blue'), opacity: 0.2 + 0.8 * (value / most) }} />)}
    </div>)}
    <div style={{ position: 'absolute', bottom: 0, right: 0, opacity: 0.6, fontSize: 12 }}>drawn by tools/panels, not by Grafana</div>
  </div>;
}

function Content({ panel, width, height }: Json) {
  const [series, setSeries] = useState<DataFrame[] | Error>();
  useEffect(() => { data(panel, width).then(setSeries, setSeries).finally(() => { drawn += 1; }); }, [panel, width]);
  if (!series) { return null; }
  if (series instanceof Error) { return <Note>{`error: ${series.message}`}</Note>; }
  const empty = !series.some((frame) => frame.length);
  const { noValue = 'No data' } = panel.fieldConfig.defaults;
  const all = { panel, series, width, height };
  if (panel.type === 'stat') { return <Stat {...all} />; } // says itself that it has no value
  if (empty) { return <Note>{noValue}</Note>; }
  if (panel.type === 'state-timeline') { return <Timeline {...all} />; }
  if (panel.type === 'heatmap') { return <Heatmap {...all} />; }
  if (panel.type === 'table') {
    return <TableNG data={series[panel.options.frameIndex ?? 0]} width={width} height={height} sortBy={panel.options.sortBy}
      noHeader={!panel.options.showHeader} cellHeight={panel.options.cellHeight} fieldConfig={panel.fieldConfig}
      timeRange={range} noValue={noValue} enableVirtualization={false}
      contentAwareWidthsEnabled={given.has('fit')} />;
  }
  if (panel.type === 'timeseries') {
    return <TimeSeries frames={series} structureRev={1} width={width} height={height} timeRange={range} timeZone={getTimeZone()}
      legend={panel.options.legend} />;
  }
  return <Note>{`${panel.type} is not drawn here`}</Note>;
}

function Board({ board }: { board: Json }) {
  const column = (document.documentElement.clientWidth - 2 * PADDING + GAP) / GRID;
  const bottom = Math.max(...board.panels.map(({ gridPos }: Json) => gridPos.y + gridPos.h));
  return <ThemeContext.Provider value={theme}>
    <GlobalStyles />
    <div style={{ padding: PADDING, overflow: 'hidden', background: theme.colors.background.canvas }}>
      <h1 style={{ fontSize: 18 }}>{board.title}</h1>
      <div style={{ display: 'flex', gap: 16, marginBottom: 12, fontSize: 12 }}>
        {board.templating.list.filter(({ hide }: Json) => !hide).map(({ name, label }: Json) =>
          <span key={name}>{label} <b style={{ border: `1px solid ${theme.colors.border.medium}`, padding: '4px 8px' }}>
            {variables[name] === '.*' ? 'All' : variables[name]}</b></span>)}
        <span style={{ marginLeft: 'auto', color: theme.colors.text.link }}>{board.links.map(({ title }: Json) => title).join('   ·   ')}</span>
      </div>
      <div style={{ position: 'relative', height: bottom * (UNIT + GAP) }}>
        {board.panels.map((panel: Json) => {
          const { x, y, w, h } = panel.gridPos, width = w * column - GAP, height = h * (UNIT + GAP) - GAP;
          const place = { position: 'absolute' as const, left: x * column, top: y * (UNIT + GAP), width, height };
          if (panel.type === 'row') { return <h3 key={panel.id} style={place}>⌄ {panel.title}</h3>; }
          return <div key={panel.id} style={place}>
            <PanelChrome title={panel.title} description={panel.description} width={width} height={height}>
              {(inside: number, high: number) => <Content panel={panel} width={inside} height={high} />}
            </PanelChrome></div>;
        })}
      </div>
    </div>
  </ThemeContext.Provider>;
}

let drawn = 0;
Object.assign(window, { __grafana_public_path__: 'public/', drawn: () => drawn });
standardTransformersRegistry.setInit(() => [...new Set(Object.values(standardTransformers) as Json[])].filter((one, at, all) =>
  all.findIndex(({ id }) => id === one.id) === at).map((one) => ({
  id: one.id, name: one.name, transformation: () => Promise.resolve(one), editor: () => null, imageDark: '', imageLight: '' })) as Json);
document.documentElement.className = theme.isDark ? 'theme-dark' : 'theme-light';
// JSON knows no infinity: Grafana puts it back as it loads a dashboard.
const revived = (key: string, value: Json) => {
  if (key === 'steps' && value[0]) { value[0].value ??= -Infinity; }
  return value;
};
// Texts are measured to be fitted, so the font has to be there first.
void Promise.all([fetch(`dashboards/${given.get('dashboard') ?? 'overview.json'}`).then((one) => one.text()),
  document.fonts.load('400 14px Inter'), document.fonts.load('500 14px Inter')]).then(([text]) =>
  createRoot(document.getElementById('root')!).render(<Board board={JSON.parse(text, revived)} />));
