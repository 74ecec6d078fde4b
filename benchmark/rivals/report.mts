/** A page of tables and plots in one file: plots are drawn here, by Vega-Lite, and stand in it as SVG. */

/** What a page holds, in order. */
export interface Section {
  title: string;
  text?: string[];
  /** The first line names the columns. */
  table?: readonly (readonly string[])[];
  /** Specifications of Vega-Lite, data included. */
  plots?: Spec[];
}

export type Spec = Record<string, unknown>;

/** The page as HTML that needs nothing else, and no network. */
export async function page(title: string, sections: readonly Section[]): Promise<string> {
  const bodies = await Promise.all(sections.map(body));
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${escaped(title)}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 75rem; padding: 0 1rem; color: #1b1b1b; }
table { border-collapse: collapse; font-size: 13px; margin: 1rem 0; display: block; overflow-x: auto; }
th, td { border-bottom: 1px solid #ddd; padding: .25rem .6rem; text-align: left; white-space: nowrap; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; }
svg { max-width: 100%; height: auto; }
</style>
</head>
<body>
<h1>${escaped(title)}</h1>
${bodies.join('\n')}
</body>
</html>
`;
}

async function body({ title, text = [], table, plots = [] }: Section): Promise<string> {
  const paragraphs = text.map((line) => `<p>${escaped(line)}</p>`);
  const drawn = await Promise.all(plots.map(draw));
  const figures = drawn.length > 0 ? [`<div class="plots">${drawn.join('\n')}</div>`] : [];
  return [`<h2>${escaped(title)}</h2>`, ...paragraphs, ...(table ? [rows(table)] : []), ...figures].join('\n');
}

function rows([head = [], ...lines]: NonNullable<Section['table']>): string {
  const cell = (text: string) => `<td${/^[-\d., /%x]+$/.test(text) ? ' class="number"' : ''}>${escaped(text)}</td>`;
  const columns = head.map((text) => `<th>${escaped(text)}</th>`).join('');
  const lines_ = lines.map((line) => `<tr>${line.map(cell).join('')}</tr>`).join('\n');
  return `<table>\n<tr>${columns}</tr>\n${lines_}\n</table>`;
}

/** A specification as SVG. */
async function draw(spec: Spec): Promise<string> {
  // biome-ignore lint/suspicious/noExplicitAny: these packages are not installed where types are checked
  const load = (name: string): Promise<any> => import(name);
  const [vega, lite] = [await load('vega'), await load('vega-lite')];
  const compiled = lite.compile(spec);
  const view = new vega.View(vega.parse(compiled.spec), { renderer: 'none' });
  return view.toSVG();
}

const escaped = (text: string): string =>
  text.replace(/[&<>"]/g, (it) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[it] ?? it);

/** An axis by numbers, with a scale that fits them unless one is given. */
export const quantity = (field: string, title: string, scale: Record<string, unknown> = { zero: false }) => ({
  field,
  type: 'quantitative',
  title,
  scale,
});

/** Lines with points, one a colour; `values` have x, y and what the colour tells. */
export function curves(title: string, values: readonly object[], x: object, y: object, colour: string): Spec {
  return {
    title,
    width: 480,
    height: 340,
    data: { values },
    mark: { type: 'line', point: { size: 22 }, strokeWidth: 1.5 },
    encoding: {
      x,
      y,
      color: {
        field: colour,
        type: 'nominal',
        title: null,
        scale: { scheme: 'tableau20' },
        sort: null,
        legend: { labelLimit: 400 },
      },
      order: { field: 'order', type: 'quantitative' },
    },
  };
}

/** Readable on light and on dark: middle tones for curves, and text in the ink of whoever looks. */
const TONES = ['#3b7dd8', '#e07b39', '#2a9d6f', '#b05cc6'];
const INK = 'text{fill:#1f2328}@media(prefers-color-scheme:dark){text{fill:#e6edf3}}';

/** How the points of a picture are read: `label` names the field that stands beside those of the first curve. */
interface Encoding {
  x: object;
  y: object;
  colour: string;
  label: string;
}

/** Curves through points as an SVG file of its own, at most as many curves as there are tones. */
export async function picture(
  title: string,
  values: readonly Record<string, unknown>[],
  how: Encoding,
): Promise<string> {
  const { x, y, colour, label } = how;
  const color = { field: colour, type: 'nominal', title: null, sort: null, scale: { range: TONES } };
  const first = JSON.stringify(values[0]?.[colour] ?? '');
  const faint = { gridColor: '#8884', domainColor: '#888', tickColor: '#888' };
  const svg = await draw({
    title: { text: title, anchor: 'start', fontSize: 13 },
    width: 640,
    height: 380,
    background: 'transparent',
    config: { axis: faint, view: { stroke: '#8884' } },
    data: { values },
    encoding: { x, y },
    layer: [
      {
        mark: { type: 'line', point: { size: 30 }, strokeWidth: 1.5 },
        encoding: { color, order: { field: label, type: 'quantitative' } },
      },
      {
        transform: [{ filter: `datum[${JSON.stringify(colour)}] === ${first}` }],
        mark: { type: 'text', dy: 14, dx: 4, fontSize: 10 },
        encoding: { text: { field: label } },
      },
    ],
  });
  return `${svg.replace(/(?<=<svg [^>]*>)/, `<style>${INK}</style>`)}\n`;
}

/** Bars, one a line. */
export function bars(title: string, values: readonly object[], x: object, field: string): Spec {
  return {
    title,
    width: 480,
    data: { values },
    mark: 'bar',
    encoding: { x, y: { field, type: 'nominal', title: null, sort: 'x' } },
  };
}
