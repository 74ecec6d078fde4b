/// <reference lib="dom" />
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test from 'ava';
import { type Browser, chromium, type Page } from 'playwright-core';
import { open } from '../../dist/index.mjs';
import { random, root } from '../harness.ts';

/** Where systems keep it. */
const CHROMIUM = [
  process.env.AUSPEX_CHROMIUM ?? '',
  '/usr/bin/chromium',
  '/usr/bin/google-chrome',
  '/usr/bin/chromium-browser',
];
const path = CHROMIUM.find((each) => each !== '' && existsSync(each));
/** Where the pictures go, for those who look at them. */
const pictures = process.env.AUSPEX_PICTURES;

if (!path) console.log('not run  the page in a browser: there is no Chromium (AUSPEX_CHROMIUM names one)');

const inBrowser = path ? test : test.skip;

inBrowser(
  'the page searches, filters, measures and draws, in light and dark, narrow and wide, by mouse and keyboard',
  async (t) => {
    t.timeout(300_000);
    const folder = mkdtempSync(join(tmpdir(), 'auspex-explore-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    if (pictures) mkdirSync(pictures, { recursive: true });
    const [rows, dim] = [3000, 32];
    const next = random(5);
    const topics = ['music', 'sport', 'science', 'food'];
    const words = [
      ['a song for rain', 'the slow waltz', 'how to tune a lute', 'a choir of frogs', 'drums at night'],
      ['a race in rain', 'the long jump', 'how to throw', 'a game of chess', 'swimming at night'],
      ['why rain falls', 'the speed of light', 'how to weigh a star', 'a map of atoms', 'bats at night'],
      ['soup for rain', 'the best bread', 'how to cut onions', 'a pot of beans', 'cakes at night'],
    ];
    const centres = topics.map(() => Array.from({ length: dim }, () => next() * 2 - 1));
    const collection = await open<Record<string, string | number | boolean>>(join(folder, 'notes.auspex'), {
      dim,
      fields: { topic: 'keyword', year: 'number', draft: 'boolean', title: 'text' },
    });
    await collection.insert(
      Array.from({ length: rows }, (_, i) => {
        const of = i % topics.length;
        const vector = (centres[of] ?? []).map((x) => x + (next() - 0.5) * 1.6);
        const about = words[of]?.[Math.floor(i / topics.length) % 5];
        const title = i === 7 ? '<img src=x onerror="window.broken = true">' : `Note ${i}: ${about}`;
        return {
          id: `note-${i}`,
          vector,
          metadata: { topic: topics[of] ?? '', year: 2000 + (i % 25), draft: i % 3 === 0, title },
        };
      }),
    );

    // Beside the writer, which stays open.
    const child = spawn(process.execPath, [
      join(root, 'dist/cli.js'),
      'explore',
      join(folder, 'notes.auspex'),
      '--json',
    ]);
    t.teardown(() => child.kill());
    const ended = new Promise<number | null>((resolve) => child.on('exit', resolve));
    const url = await new Promise<string>((resolve) =>
      child.stdout.once('data', (text) => resolve(JSON.parse(text).url)),
    );
    const browser: Browser = await chromium.launch({ executablePath: path as string, args: ['--no-sandbox'] });
    t.teardown(() => browser.close());

    const troubles: string[] = [];
    const said = (page: Page, id: string, what: RegExp) =>
      page.waitForFunction(
        ([id, what]) => new RegExp(what as string).test(document.getElementById(id as string)?.textContent ?? ''),
        [id, what.source],
      );
    for (const [width, height, name] of [
      [1200, 900, 'wide'],
      [390, 844, 'narrow'],
    ] as const) {
      for (const colorScheme of ['light', 'dark'] as const) {
        const page = await browser.newPage({ viewport: { width, height }, colorScheme });
        page.on('console', (message) => troubles.push(message.text()));
        page.on('pageerror', (error) => troubles.push(error.message));
        page.on('request', (request) => {
          if (!request.url().startsWith(url)) troubles.push(`asked for ${request.url()}`);
        });
        await page.goto(url);
        await page.waitForSelector('#facts dd');
        t.regex(await page.innerText('#facts'), /rows\s+3,000/);
        await page.fill('#id', 'note-4');
        await page.fill('#text', 'rain');
        await page.selectOption('#colour', 'topic');
        await page.click('#ask button[type=submit]');
        await said(page, 'said', /^10 hits in/);
        t.regex(await page.innerText('#plan'), /plan\s+graph, and words/);
        t.regex(await page.innerText('#hits tbody'), /rain/);
        await page.click('#measure button');
        await said(page, 'measured', /^recall@10 of 100 rows/);
        t.is(await page.locator('#curve tbody tr').count(), 5);
        await page.click('#draw button');
        await said(page, 'drawn', /^2,000 rows/);
        t.is(await page.locator('#legend li').count(), 4);
        t.true(
          await page.evaluate(() => document.documentElement.scrollWidth <= window.innerWidth),
          `${name}: nothing is wider than the page`,
        );
        const [back, ink] = await page.evaluate(() => [
          getComputedStyle(document.body).backgroundColor,
          getComputedStyle(document.body).color,
        ]);
        t.is(Number(back?.match(/\d+/)?.[0]) > Number(ink?.match(/\d+/)?.[0]), colorScheme === 'light');
        if (pictures)
          await page.screenshot({ path: join(pictures, `explore-${name}-${colorScheme}.png`), fullPage: true });
        await page.close();
      }
    }

    const page = await browser.newPage();
    page.on('pageerror', (error) => troubles.push(error.message));
    await page.goto(url);
    await page.waitForSelector('#facts dd');
    // Filters of the declared fields, of which one takes what was written after the page began.
    await collection.insert([
      { id: 'new', vector: centres[0] ?? [], metadata: { topic: 'music', year: 2030, draft: false, title: 'New' } },
    ]);
    await page.fill('[aria-label="year: from"]', '2030');
    await page.fill('[aria-label="topic: value"]', 'music');
    await page.selectOption('[aria-label="draft: is"]', 'false');
    await page.fill('#json', '{"title": "New"}');
    await page.fill('#id', 'note-4');
    await page.press('#id', 'Enter');
    await said(page, 'said', /^1 hits in/);
    t.regex(await page.innerText('#hits tbody'), /^1\s+new\s/);
    t.regex(await page.innerText('#plan'), /plan\s+exact\s+matching\s+1\s/);
    // What is wrong is said in words.
    await page.fill('#json', '{"title": {"$no": 1}}');
    await page.press('#json', 'Enter');
    await page.waitForSelector('#trouble:not([hidden])');
    t.regex(await page.innerText('#trouble'), /\$no/);
    await page.reload();
    await page.waitForSelector('#facts dd');
    // Words alone have no distance and no walk; what was asked beside a row has both.
    await page.check('input[value=none]');
    t.false(await page.isVisible('#id'));
    await page.fill('#text', 'choir frogs');
    await page.press('#text', 'Enter');
    await said(page, 'said', /^10 hits in/);
    t.regex(await page.innerText('#plan'), /^plan\s+words$/);
    t.regex(await page.innerText('#hits tbody'), /^1\s+note-\d+\s+-\s+\d+\.\d+\s+.*a choir of frogs/);
    await page.reload();
    await page.waitForSelector('#facts dd');
    // A vector; then by keyboard alone: from the button of a hit to its neighbours, and over the map.
    await page.check('input[value=vector]');
    await page.fill('#vector', (centres[1] ?? []).join(' '));
    await page.focus('#ask button[type=submit]');
    await page.keyboard.press('Enter');
    await said(page, 'said', /^10 hits in/);
    await page.keyboard.press('Tab');
    const hit = await page.evaluate(() => document.activeElement?.textContent);
    await page.keyboard.press('Enter');
    await page.waitForFunction((id) => (document.getElementById('id') as HTMLInputElement).value === id, hit);
    await said(page, 'said', /^10 hits in/);
    t.regex(await page.innerText('#hits'), /sport/);
    await page.focus('#draw button');
    await page.keyboard.press('Enter');
    await said(page, 'drawn', /^2,000 rows/);
    await page.focus('#map');
    await page.keyboard.press('ArrowRight');
    const first = await page.innerText('#point');
    await page.keyboard.press('ArrowUp');
    t.regex(first, /^note-\d+/);
    t.not(await page.innerText('#point'), first);
    // Text of the collection's is only ever text.
    await page.fill('#id', 'note-7');
    await page.fill('#k', '1000');
    await page.fill('#json', '{"title": {"$contains": "<img"}}');
    await page.check('input[value=vector]');
    await page.focus('#vector');
    await page.click('#ask button[type=submit]');
    await page.waitForFunction(() => document.querySelector('#hits td.data')?.textContent?.includes('<img'));
    t.is(await page.evaluate(() => 'broken' in window || document.querySelectorAll('img').length > 0), false);
    t.deepEqual(troubles, []);

    child.kill('SIGINT');
    t.is(await ended, 0);
    await collection.close();
  },
);
