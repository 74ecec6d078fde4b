import { request } from 'node:http';
import { join } from 'node:path';
import test from 'ava';
import { plane } from '../cli/explore/pca.ts';
import { serve } from '../cli/explore/server.ts';
import { open } from '../dist/index.mjs';
import { filled, random, root } from './harness.ts';

const dim = 8;

interface Asked {
  method?: string;
  headers?: Record<string, string>;
  body?: string;
}

/** A request as it is written: paths are not made plain, and any Host may be named. */
function ask(url: string, path: string, { method = 'GET', headers = {}, body }: Asked = {}) {
  const { hostname, port } = new URL(url);
  return new Promise<{ status: number; headers: NodeJS.Dict<string | string[]>; text: string }>((resolve, reject) => {
    const sent = request({ hostname, port, path, method, headers }, (response) => {
      let text = '';
      response.setEncoding('utf8').on('data', (chunk) => (text += chunk));
      response.on('end', () => resolve({ status: response.statusCode ?? 0, headers: response.headers, text }));
    });
    sent.on('error', reject);
    sent.end(body);
  });
}

async function served(t: { teardown: (run: () => unknown) => void }, rows = 200) {
  const { collection } = await filled(rows, dim);
  const page = await serve(collection, { folder: join(root, 'dist/page') });
  t.teardown(() => page.close());
  const { pathname: base } = new URL(page.url);
  const json = { 'Content-Type': 'application/json' };
  const question = async (what: string, of: object) => {
    const { status, text } = await ask(page.url, `${base}ask/${what}`, {
      method: 'POST',
      headers: json,
      body: JSON.stringify(of),
    });
    return { status, answer: JSON.parse(text) };
  };
  return { collection, url: page.url, base, json, question };
}

test('the page is served on the loopback, under its token, and brings its rules', async (t) => {
  const { url, base } = await served(t);
  t.regex(url, /^http:\/\/127\.0\.0\.1:\d+\/[\w-]{32}\/$/);
  for (const [name, type] of [
    ['', 'text/html'],
    ['page.js', 'text/javascript'],
    ['page.css', 'text/css'],
  ] as const) {
    const { status, headers, text } = await ask(url, base + name);
    t.is(status, 200);
    t.true(String(headers['content-type']).startsWith(type));
    t.regex(
      String(headers['content-security-policy']),
      /^default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self';/,
    );
    t.is(headers['referrer-policy'], 'no-referrer');
    t.is(headers['access-control-allow-origin'], undefined);
    t.notRegex(text, /style="|<script>|\son\w+=|https?:\/\/(?!www\.w3\.org)/);
  }
  const head = await ask(url, base, { method: 'HEAD' });
  t.deepEqual([head.status, head.text], [200, '']);
});

test('who does not know the token, comes by another name or asks for something else is refused', async (t) => {
  const { url, base, json } = await served(t);
  const { host, port } = new URL(url);
  const other = base.replace(/\w/, (letter) => (letter === 'x' ? 'y' : 'x'));
  const post = { method: 'POST', headers: json, body: '{}' };
  const refused: [string, Asked, number][] = [
    ['/', {}, 403],
    ['//', {}, 403],
    [other, {}, 403],
    [base.slice(0, -2), {}, 403],
    [`${other}ask/about`, post, 403],
    [`${base}ask/about`, {}, 405],
    [base, post, 405],
    [base, { method: 'PUT' }, 405],
    [`${base}page.js`, { method: 'DELETE' }, 405],
    [`${base}ask/about`, { method: 'OPTIONS' }, 405],
    [`${base}../../etc/passwd`, {}, 404],
    [`${base}..%2f..%2fpackage.json`, {}, 404],
    [`${base}page/../page.js`, {}, 404],
    [`${base}%2e%2e/cli.js`, {}, 404],
    [`${base}__proto__`, {}, 404],
    [`${base}ask/__proto__`, post, 404],
    [`${base}ask/constructor`, post, 404],
    [`${base}ask/about/more`, post, 404],
    [base, { headers: { Host: `evil.example:${port}` } }, 421],
    [base, { headers: { Host: 'evil.example' } }, 421],
    [base, { headers: { Host: '127.0.0.1' } }, 421],
    [`${base}ask/about`, { ...post, headers: { ...json, Host: `127.0.0.1.evil.example:${port}` } }, 421],
    [`${base}ask/about`, { ...post, headers: { ...json, Origin: 'http://evil.example' } }, 403],
    [`${base}ask/about`, { ...post, headers: { ...json, Origin: 'null' } }, 403],
    [base, { headers: { 'Sec-Fetch-Site': 'cross-site' } }, 403],
    [`${base}ask/about`, { ...post, headers: { 'Content-Type': 'text/plain' } }, 415],
    [`${base}ask/about`, { ...post, body: '[]' }, 400],
    [`${base}ask/about`, { ...post, body: '{' }, 400],
    [`${base}ask/about`, { ...post, body: ' '.repeat(2 ** 20 + 1) }, 413],
  ];
  for (const [path, asked, status] of refused) {
    const answer = await ask(url, path, asked).catch((error) => ({
      status: 413,
      text: String(error),
      headers: { connection: 'close' },
    }));
    t.is(answer.status, status, `${asked.method ?? 'GET'} ${path} ${JSON.stringify(asked.headers)}`);
    t.false(answer.text.includes(base.slice(1, -1)), 'the token stays where it is');
  }
  t.is(
    (
      await ask(url, `${base}ask/about`, {
        ...post,
        headers: { ...json, Host: `localhost:${port}`, Origin: `http://${host}`, 'Sec-Fetch-Site': 'same-origin' },
      })
    ).status,
    200,
  );
});

test('it answers what the page asks, and what is wrong is named', async (t) => {
  const { collection, question } = await served(t);
  const about = (await question('about', {})).answer;
  t.deepEqual([about.dim, about.metric, about.stats.rows, about.example.id], [dim, 'cosine', 200, 'r0']);
  const near = (await question('search', { id: 'r3', k: 5, exact: true, filter: { i: { $lt: 100 } } })).answer;
  t.deepEqual(near.hits, await collection.similar('r3', { k: 5, exact: true, filter: { i: { $lt: 100 } } }));
  t.deepEqual([near.explain.plan, near.explain.matching, near.query], ['exact', 100, { id: 'r3', metadata: { i: 3 } }]);
  const vector = Array.from({ length: dim }, (_, j) => j + 1);
  t.deepEqual((await question('search', { vector })).answer.hits, await collection.search(vector));
  const measured = (await question('measure', { k: 3, sample: 20 })).answer;
  t.deepEqual([measured.sample, measured.matching], [20, 200]);
  t.is((await question('measure', { filter: { i: -1 } })).answer.matching, 0);
  t.deepEqual(
    measured.points.map(({ recall }: { recall: number }) => recall),
    [1, 1, 1, 1, 1],
  );
  const map = (await question('map', { field: 'i' })).answer;
  t.deepEqual(
    map.values,
    Array.from({ length: 200 }, (_, i) => i),
  );
  t.is(map.x.length, 200);
  for (const [what, of, says] of [
    ['search', {}, /query/],
    ['search', { vector: [1] }, /length 1, expected 8/],
    ['search', { id: 'nobody' }, /nobody/],
    ['search', { id: 'r1', filter: { i: { $no: 1 } } }, /\$no/],
    ['search', { id: 'r1', k: -1 }, /k/],
    ['map', { filter: 'all' }, /filter/],
  ] as [string, object, RegExp][]) {
    const { status, answer } = await question(what, of);
    t.is(status, 400, `${what} ${JSON.stringify(of)}`);
    t.regex(answer.error, says);
  }
});

test('words alone, and words beside a row or a vector', async (t) => {
  const collection = await open({ dim: 2, fields: { title: 'text' } });
  const titles = ['red apple', 'green apple', 'red car', 'blue sky'];
  const metadata = titles.map((title) => ({ title }));
  const ids = ['a', 'b', 'c', 'd'];
  await collection.insert({ ids, vectors: new Float32Array([1, 0, 0.9, 0.1, 0, 1, -1, 0.2]), metadata });
  const page = await serve(collection, { folder: join(root, 'dist/page') });
  t.teardown(() => page.close());
  const { pathname: base } = new URL(page.url);
  const headers = { 'Content-Type': 'application/json' };
  const search = async (of: object) => {
    const body = JSON.stringify({ k: 2, ...of });
    const { status, text } = await ask(page.url, `${base}ask/search`, { method: 'POST', headers, body });
    return { status, answer: JSON.parse(text) };
  };
  const named = (hits: { id: string }[]) => hits.map(({ id }) => id);
  // JSON has no NaN: the distance of what only words found.
  const shown = (hits: object[]) => JSON.parse(JSON.stringify(hits));
  const words = (await search({ text: 'apple', efSearch: 10, exact: true })).answer;
  t.deepEqual(words.hits, shown(await collection.searchText('apple', { k: 2 })));
  t.deepEqual([words.explain, words.hits[0].distance], [undefined, null]);
  const vector = [0, 1];
  const both = (await search({ text: 'apple', vector })).answer;
  t.deepEqual(both.hits, shown(await collection.searchHybrid({ vector, text: 'apple' }, { k: 2 })));
  t.is(both.explain.plan, 'exact');
  // A row is not a hit of its own, and as many come back all the same.
  const near = (await search({ text: 'apple', id: 'a' })).answer;
  const all = await collection.searchHybrid({ vector: [1, 0], text: 'apple' }, { k: 4 });
  t.deepEqual(named(near.hits), named(all.filter(({ id }) => id !== 'a')).slice(0, 2));
  const filtered = (await search({ text: 'apple', id: 'a', filter: { title: { $contains: 'sky' } } })).answer;
  t.deepEqual([named(filtered.hits), filtered.explain.matching], [['d'], 1]);
  t.deepEqual((await search({ text: '' })).answer.hits, []);
  for (const [of, says] of [
    [{ text: 'apple', id: 'nobody' }, /nobody/],
    [{ text: 7 }, /text/],
    [{ text: 'apple', vector: [1] }, /length 1, expected 2/],
  ] as [object, RegExp][]) {
    const { status, answer } = await search(of);
    t.is(status, 400, JSON.stringify(of));
    t.regex(answer.error, says);
  }
});

test('the plane has the two directions in which rows differ most', async (t) => {
  const [n, wide] = [400, 6];
  const next = random(3);
  // Nearly all in the directions of 2 and 4; the naive truth is the variance along these.
  const spread = [0.01, 0.01, 5, 0.01, 2, 0.01];
  const floats = Float32Array.from({ length: n * wide }, (_, at) => 100 + (next() - 0.5) * (spread[at % wide] ?? 0));
  const of = (j: number) => Array.from({ length: n }, (_, i) => (floats[i * wide + j] ?? 0) - 100);
  const [first, second] = [of(2), of(4)];
  const { x, y, explained } = await plane(floats, wide, async () => {});
  const correlation = (a: number[], b: number[]) => {
    const mean = (of: number[]) => of.reduce((sum, each) => sum + each, 0) / of.length;
    const [ma, mb] = [mean(a), mean(b)];
    const sum = (term: (i: number) => number) => a.reduce((total, _, i) => total + term(i), 0);
    const [da, db] = [(i: number) => (a[i] ?? 0) - ma, (i: number) => (b[i] ?? 0) - mb];
    return Math.abs(sum((i) => da(i) * db(i)) / Math.sqrt(sum((i) => da(i) ** 2) * sum((i) => db(i) ** 2)));
  };
  t.true(correlation(x, first) > 0.99 && correlation(y, second) > 0.99);
  t.true(explained[0] > 0.8 && explained[0] + explained[1] > 0.99 && explained[0] + explained[1] <= 1.000001);
  for (const empty of [new Float32Array(0), new Float32Array(3 * wide).fill(7)]) {
    const flat = await plane(empty, wide, async () => {});
    t.true([...flat.x, ...flat.y].every((each) => each === 0));
  }
});
