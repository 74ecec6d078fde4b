// The page: asks the server that it comes from, and shows what it says. Text of the collection's is only ever text.

/** @type {(id: string) => any} */
const $ = (id) => document.getElementById(id);
const CATEGORIES = ['--c0', '--c1', '--c2', '--c3', '--c4', '--c5', '--c6', '--c7'];
const SCALE = ['--s0', '--s1', '--s2', '--s3', '--s4'];
const SVG = 'http://www.w3.org/2000/svg';

/** Asks; an answer that is an error is shown, and thrown. */
async function ask(what, question) {
  const headers = { 'Content-Type': 'application/json' };
  let answer;
  try {
    const response = await fetch(`ask/${what}`, { method: 'POST', headers, body: JSON.stringify(question) });
    answer = await response.json();
  } catch {
    answer = { error: 'the server does not answer: is `auspex explore` still running?' };
  }
  $('trouble').hidden = answer.error === undefined;
  $('trouble').textContent = answer.error ?? '';
  if (answer.error !== undefined) throw new Error(answer.error);
  return answer;
}

/** Runs what a form asks for, one at a time. */
function onSubmit(form, status, run) {
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const button = form.querySelector('button[type=submit]');
    if (button.disabled) return;
    button.disabled = true;
    status.textContent = 'working ...';
    try {
      status.textContent = await run();
    } catch (error) {
      status.textContent = 'that did not work';
      if ($('trouble').hidden) {
        $('trouble').hidden = false;
        $('trouble').textContent = error.message;
      }
    } finally {
      button.disabled = false;
    }
  });
}

function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function drawing(name, attributes, ...children) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

const whole = (x) => Math.round(x).toLocaleString('en-US');

/** Names and values, side by side. */
function facts(into, entries) {
  into.replaceChildren(
    ...entries.map(([name, value]) =>
      element('div', {}, element('dt', { textContent: name }), element('dd', { textContent: value })),
    ),
  );
}

// ------------------------------------------------------------------ the collection and its fields
let about;

async function begin() {
  about = await ask('about', {});
  const { path, dim, metric, stats, fields, example } = about;
  document.title = `${path} · auspex`;
  $('name').textContent = path.split(/[\\/]/).at(-1);
  $('name').title = path;
  facts($('facts'), [
    ['rows', whole(stats.rows)],
    ['numbers', whole(dim)],
    ['metric', metric],
    ['layers', stats.layers.map(whole).join(' / ') || 'no graph'],
    ['on disk', `${(stats.bytes.disk / 1e6).toFixed(1)} MB`],
    ['runs on', `${stats.isa}, ${stats.threads} threads`],
    ...(stats.notices.length > 0 ? [['notices', stats.notices.join('; ')]] : []),
  ]);
  if (example) $('id').value = example.id;
  $('fields').replaceChildren(...Object.entries(fields).map(([name, type]) => fieldOf(name, type)));
  const words = Object.values(fields).includes('text');
  for (const each of document.querySelectorAll('.by-words')) each.hidden = !words;
  const known = new Set([...Object.keys(fields), ...Object.keys(example?.metadata ?? {})]);
  $('colour').append(...Array.from(known, (name) => element('option', { value: name, textContent: name })));
  if (Object.keys(fields).length > 0) $('colour').value = Object.keys(fields)[0];
}

const COMPARED = {
  keyword: ['$eq', '$ne', '$startsWith', '$contains'],
  'keyword[]': ['$eq', '$ne', '$startsWith', '$contains'],
  text: ['$contains', '$startsWith', '$eq', '$ne'],
};
const WORDS = { $eq: 'is', $ne: 'is not', $startsWith: 'begins with', $contains: 'contains' };

/** What asks for one declared field; `condition` on it gives the condition, or undefined. */
function fieldOf(name, type) {
  const label = (text) => ({ ariaLabel: `${name}: ${text}` });
  const line = element('div', { className: 'field' }, element('span', { textContent: name }));
  if (type === 'number') {
    const [least, most] = ['from', 'to'].map((text) =>
      element('input', { type: 'number', step: 'any', placeholder: text, ...label(text) }),
    );
    line.append(element('span', { className: 'pair' }, least, most));
    line.condition = () => {
      const bounds = {
        ...(least.value !== '' && { $gte: Number(least.value) }),
        ...(most.value !== '' && { $lte: Number(most.value) }),
      };
      return Object.keys(bounds).length > 0 ? bounds : undefined;
    };
  } else if (type === 'boolean') {
    const choice = element(
      'select',
      label('is'),
      ...['any', 'true', 'false'].map((value) => element('option', { value, textContent: value })),
    );
    line.append(choice);
    line.condition = () => (choice.value === 'any' ? undefined : { $eq: choice.value === 'true' });
  } else {
    const operators = COMPARED[type] ?? COMPARED.keyword;
    const how = element(
      'select',
      label('how'),
      ...operators.map((value) => element('option', { value, textContent: WORDS[value] })),
    );
    const value = element('input', { ...label('value'), placeholder: 'any', spellcheck: false });
    line.append(how, value);
    line.condition = () => (value.value === '' ? undefined : { [how.value]: value.value });
  }
  line.name = name;
  return line;
}

/** The filter that the fields and the JSON beside them make together; undefined where nothing is asked for. */
function readFilter() {
  const parts = [];
  for (const line of $('fields').children) {
    const condition = line.condition();
    if (condition) parts.push({ [line.name]: condition });
  }
  const text = $('json').value.trim();
  if (text !== '') {
    try {
      parts.push(JSON.parse(text));
    } catch (error) {
      throw new Error(`the filter is no JSON: ${error.message}`);
    }
  }
  return parts.length === 0 ? undefined : parts.length === 1 ? parts[0] : { $and: parts };
}

// ------------------------------------------------------------------ search
/** What hits are to be near: 'id', 'vector' or 'none'. */
const near = () => document.querySelector('input[name=by]:checked').value;

for (const radio of document.querySelectorAll('input[name=by]')) {
  radio.addEventListener('change', () => {
    for (const by of ['id', 'vector']) document.querySelector(`.by-${by}`).hidden = near() !== by;
  });
}

function readVector() {
  const text = $('vector').value.trim();
  try {
    return JSON.parse(text.startsWith('[') ? text : `[${text.split(/[\s,;]+/).join(',')}]`);
  } catch {
    throw new Error('the vector must be numbers, as [0.1, 0.2, ...]');
  }
}

onSubmit($('ask'), $('said'), async () => {
  const by = near();
  const text = $('text').value.trim();
  const { hits, ms, explain } = await ask('search', {
    ...(by === 'id' && { id: $('id').value }),
    ...(by === 'vector' && { vector: readVector() }),
    ...((by === 'none' || text !== '') && { text }),
    k: Number($('k').value),
    ...($('ef').value !== '' && { efSearch: Number($('ef').value) }),
    exact: $('exact').checked,
    filter: readFilter(),
  });
  const plan = explain && [
    ['plan', text === '' ? explain.plan : `${explain.plan}, and words`],
    ['matching', explain.matching === undefined ? 'all' : whole(explain.matching)],
    ['visited', whole(explain.visited)],
    ['distances', whole(explain.distances)],
    ['rescored', whole(explain.rescored)],
    ['engine', `${whole(explain.microseconds)} us`],
    ['isa', explain.isa],
  ];
  facts($('plan'), plan ?? [['plan', 'words']]);
  $('hits').tBodies[0].replaceChildren(
    ...hits.map(({ id, distance, score, metadata }, i) => {
      const near = element('button', { type: 'button', textContent: id, title: `Search near ${id}` });
      near.addEventListener('click', () => searchNear(id));
      return element(
        'tr',
        {},
        element('td', { textContent: i + 1 }),
        element('td', {}, near),
        // Only words found it.
        element('td', { textContent: distance === null ? '-' : distance.toFixed(5) }),
        element('td', { textContent: score.toFixed(5) }),
        element('td', { className: 'data', textContent: shown(metadata) }),
      );
    }),
  );
  marked = new Set(hits.map(({ id }) => id));
  if (by === 'id') marked.add($('id').value);
  paint();
  return `${whole(hits.length)} hits in ${ms.toFixed(1)} ms`;
});

/** Metadata as text, long ones cut. */
function shown(metadata) {
  const text = JSON.stringify(metadata);
  return text.length > 400 ? `${text.slice(0, 400)} ...` : text;
}

function searchNear(id) {
  const byId = document.querySelector('input[name=by][value=id]');
  byId.checked = true;
  byId.dispatchEvent(new Event('change'));
  $('id').value = id;
  $('ask').requestSubmit();
}

// ------------------------------------------------------------------ recall against latency
onSubmit($('measure'), $('measured'), async () => {
  const { points, k, sample, exactUs, matching } = await ask('measure', {
    k: Number($('k').value),
    sample: Number($('sample').value),
    filter: readFilter(),
  });
  if (matching === 0) throw new Error('no row matches');
  $('curve').replaceChildren(curve(points), tableOf(points));
  return `recall@${k} of ${whole(sample)} rows; exact search takes ${whole(exactUs)} us`;
});

function curve(points) {
  const [width, height, left, right, top, bottom] = [420, 230, 46, 22, 16, 36];
  const most = Math.max(...points.map(({ p50Us }) => p50Us)) * 1.1;
  const least = Math.min(0.9, ...points.map(({ recall }) => Math.floor(recall * 20) / 20));
  const x = (us) => left + ((width - left - right) * us) / most;
  const y = (recall) => height - bottom - ((height - top - bottom) * (recall - least)) / (1 - least);
  const parts = [];
  for (let i = 0; i <= 4; i++) {
    const recall = least + ((1 - least) * i) / 4;
    parts.push(drawing('line', { class: 'axis', x1: left, x2: width - right, y1: y(recall), y2: y(recall) }));
    parts.push(drawing('text', { x: left - 6, y: y(recall) + 4, 'text-anchor': 'end' }, recall.toFixed(3)));
    parts.push(
      drawing(
        'text',
        { x: x((most * i) / 4), y: height - bottom + 16, 'text-anchor': 'middle' },
        whole((most * i) / 4),
      ),
    );
  }
  parts.push(
    drawing(
      'text',
      { x: (left + width - right) / 2, y: height - 4, 'text-anchor': 'middle' },
      'p50, microseconds a search',
    ),
  );
  parts.push(
    drawing('polyline', { class: 'curve', points: points.map((at) => `${x(at.p50Us)},${y(at.recall)}`).join(' ') }),
  );
  for (const { efSearch, recall, p50Us } of points) {
    parts.push(drawing('circle', { class: 'at', cx: x(p50Us), cy: y(recall), r: 4 }));
    parts.push(drawing('text', { x: x(p50Us), y: y(recall) + 16, 'text-anchor': 'middle' }, `${efSearch}`));
  }
  const label = 'Recall by latency; the numbers at the points are efSearch, and the table has the same figures';
  return drawing('svg', { viewBox: `0 0 ${width} ${height}`, role: 'img', 'aria-label': label }, ...parts);
}

function tableOf(points) {
  const cell = (tag, text) => element(tag, { textContent: text, ...(tag === 'th' && { scope: 'col' }) });
  const rows = points.map((at) =>
    element(
      'tr',
      {},
      cell('td', at.efSearch),
      cell('td', at.recall.toFixed(3)),
      cell('td', whole(at.p50Us)),
      cell('td', whole(at.p99Us)),
    ),
  );
  const head = element('tr', {}, ...['efSearch', 'recall', 'p50, us', 'p99, us'].map((text) => cell('th', text)));
  return element('table', {}, element('thead', {}, head), element('tbody', {}, ...rows));
}

// ------------------------------------------------------------------ the map
let map;
let colours = [];
let marked = new Set();
let chosen = -1;

onSubmit($('draw'), $('drawn'), async () => {
  const field = $('colour').value;
  map = await ask('map', { field, filter: readFilter() });
  colours = colouring(map.values, field);
  chosen = -1;
  $('point').textContent = '';
  paint();
  const [first, second] = map.explained.map((part) => `${(100 * part).toFixed(0)} %`);
  return `${whole(map.ids.length)} rows, principal components with ${first} and ${second} of the variance`;
});

/** The name of a colour for each value, and a legend. Numbers get steps, other values the most frequent eight a colour. */
function colouring(values, field) {
  const numbers = values.filter((value) => typeof value === 'number');
  const parts = [];
  let pick = () => '--none';
  if (
    field !== '' &&
    numbers.length > 0 &&
    numbers.length >= values.length / 2 &&
    new Set(numbers).size > CATEGORIES.length
  ) {
    const sorted = numbers.sort((a, b) => a - b);
    const edges = SCALE.map((_, i) => sorted[Math.floor((sorted.length * i) / SCALE.length)]);
    pick = (value) =>
      typeof value === 'number' ? (SCALE[edges.findLastIndex((edge) => value >= edge)] ?? SCALE[0]) : '--none';
    parts.push(...SCALE.map((name, i) => [name, `from ${edges[i]}`]));
    if (numbers.length < values.length) parts.push(['--none', 'none']);
  } else if (field !== '') {
    const text = (value) => (value === null ? 'none' : String(Array.isArray(value) ? value[0] : value));
    const counts = new Map();
    for (const value of values) counts.set(text(value), (counts.get(text(value)) ?? 0) + 1);
    const ranked = [...counts].filter(([name]) => name !== 'none').sort((a, b) => b[1] - a[1]);
    const names = new Map(ranked.slice(0, CATEGORIES.length).map(([name], i) => [name, CATEGORIES[i]]));
    pick = (value) => names.get(text(value)) ?? '--none';
    parts.push(...Array.from(names, ([name, colour]) => [colour, `${name} (${whole(counts.get(name))})`]));
    if (ranked.length > names.size || counts.has('none')) parts.push(['--none', 'other or none']);
  }
  $('legend').replaceChildren(
    ...parts.map(([colour, text]) => {
      const dot = drawing('circle', { cx: 6, cy: 6, r: 5 });
      dot.style.fill = `var(${colour})`;
      return element('li', {}, drawing('svg', { viewBox: '0 0 12 12', 'aria-hidden': 'true' }, dot), text);
    }),
  );
  return values.map(pick);
}

/** Where a row is on the canvas, in its own units. */
function place(i) {
  const { clientWidth: width, clientHeight: height } = $('map');
  return [width * (0.5 + 0.46 * map.x[i]), height * (0.5 - 0.46 * map.y[i])];
}

function paint() {
  const canvas = $('map');
  const ratio = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  const pen = canvas.getContext('2d');
  pen.scale(ratio, ratio);
  if (!map) return;
  const style = getComputedStyle(document.documentElement);
  const paints = new Map();
  const paintOf = (name) => paints.get(name) ?? paints.set(name, style.getPropertyValue(name)).get(name);
  const dot = (i, radius) => {
    const [x, y] = place(i);
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
  };
  pen.globalAlpha = 0.8;
  for (let i = 0; i < map.ids.length; i++) {
    pen.fillStyle = paintOf(colours[i]);
    dot(i, 2.6);
    pen.fill();
  }
  pen.globalAlpha = 1;
  pen.strokeStyle = paintOf('--ink');
  for (let i = 0; i < map.ids.length; i++) {
    if (i !== chosen && !marked.has(map.ids[i])) continue;
    pen.lineWidth = i === chosen ? 3 : 1.5;
    dot(i, i === chosen ? 7 : 5);
    pen.stroke();
  }
}

function choose(i) {
  if (i < 0 || i === chosen) return;
  chosen = i;
  const value = map.values[i];
  $('point').textContent = value === null ? map.ids[i] : `${map.ids[i]}: ${$('colour').value} ${JSON.stringify(value)}`;
  paint();
}

/** The row with the least cost, or -1. */
function best(cost) {
  let [least, at] = [Number.POSITIVE_INFINITY, -1];
  for (let i = 0; map && i < map.ids.length; i++) {
    const own = cost(...place(i), i);
    if (own < least) [least, at] = [own, i];
  }
  return at;
}

$('map').addEventListener('pointermove', ({ offsetX, offsetY }) =>
  choose(
    best((x, y) =>
      (x - offsetX) ** 2 + (y - offsetY) ** 2 < 400
        ? (x - offsetX) ** 2 + (y - offsetY) ** 2
        : Number.POSITIVE_INFINITY,
    ),
  ),
);
$('map').addEventListener('click', () => {
  if (chosen >= 0) searchNear(map.ids[chosen]);
});
$('map').addEventListener('keydown', (event) => {
  const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
  if (event.key === 'Enter' && chosen >= 0) searchNear(map.ids[chosen]);
  if (!step || !map) return;
  event.preventDefault();
  const { clientWidth, clientHeight } = $('map');
  const [fromX, fromY] = chosen < 0 ? [clientWidth / 2, clientHeight / 2] : place(chosen);
  // The nearest in that direction; what is aside costs more than what is ahead.
  const next = best((x, y, i) => {
    const [ahead, aside] = [
      (x - fromX) * step[0] + (y - fromY) * step[1],
      Math.abs((x - fromX) * step[1] + (y - fromY) * step[0]),
    ];
    return i === chosen || ahead <= 0 || aside > 2 * ahead ? Number.POSITIVE_INFINITY : ahead + 2 * aside;
  });
  choose(next);
});
new ResizeObserver(paint).observe($('map'));
matchMedia('(prefers-color-scheme: dark)').addEventListener('change', paint);

begin().catch(() => {});
