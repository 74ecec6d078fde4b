/**
 * The page about a collection, for browsers of this machine.
 *
 * Who may ask: whoever knows the token in the address, from this machine, by the address that was printed. A page of
 * another site knows no token; a name that was pointed here (DNS rebinding) is another Host; and no other site's script
 * may read an answer or be told where the page is. Files of the page are served by name from a list, never by path.
 */
import { randomBytes, timingSafeEqual } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { isAuspexError, type LocalCollection } from 'auspex';
import { answers } from './answers.ts';

/** A longer question is none. */
const BODY = 2 ** 20;

const FILES: Record<string, { name: string; type: string }> = {
  '': { name: 'index.html', type: 'text/html; charset=utf-8' },
  'page.css': { name: 'page.css', type: 'text/css; charset=utf-8' },
  'page.js': { name: 'page.js', type: 'text/javascript; charset=utf-8' },
};

const HEADERS = {
  'Content-Security-Policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Resource-Policy': 'same-origin',
  'Referrer-Policy': 'no-referrer',
  'X-Content-Type-Options': 'nosniff',
  'X-Frame-Options': 'DENY',
  'Cache-Control': 'no-store',
};

/** A question that gets no answer: an HTTP status, and why. */
class Refused extends Error {
  readonly status: number;
  readonly headers: Record<string, string>;

  constructor(status: number, message: string, headers: Record<string, string> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

/**
 * Serves the page until `close` is called; `url` has the token.
 *
 * @param folder the files of the page
 */
export async function serve(
  collection: LocalCollection,
  { port = 0, folder = join(__dirname, 'page') } = {},
): Promise<{ url: string; close: () => Promise<void> }> {
  const token = randomBytes(24).toString('base64url');
  const answer = answers(collection);
  const server = createServer({ requestTimeout: 30_000, headersTimeout: 10_000, maxHeaderSize: 16_384 });
  server.on('request', async (request: IncomingMessage, response: ServerResponse) => {
    try {
      const { address, port } = server.address() as AddressInfo;
      const [body, type] = await reply(request, response, [`${address}:${port}`, `localhost:${port}`]);
      send(response, 200, body, type, request.method);
    } catch (error) {
      const known = error instanceof Refused || isAuspexError(error);
      const status = error instanceof Refused ? error.status : known ? 400 : 500;
      const message = known ? (error as Error).message : `a defect of auspex: ${(error as Error).message}`;
      const { headers = {} } = error instanceof Refused ? error : {};
      // What is left of a question that was refused is not read.
      if (!request.complete) response.setHeader('Connection', 'close');
      send(response, status, JSON.stringify({ error: message }), 'application/json', request.method, headers);
    }
  });
  // A second one that begins while the first is written would be refused by node: such a socket is of no use.
  server.on('clientError', (_, socket) => socket.destroy());
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/${token}/`;
  const close = async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { url, close };

  async function reply(
    request: IncomingMessage,
    response: ServerResponse,
    hosts: string[],
  ): Promise<[string | Buffer, string]> {
    if (!hosts.includes(request.headers.host ?? '')) throw new Refused(421, 'this is not the address of the page');
    const [, given = '', name = '', ...deeper] = (request.url ?? '').split('/');
    if (!same(given, token)) throw new Refused(403, 'the address has the wrong token: take the one that was printed');
    const { origin, 'sec-fetch-site': site } = request.headers;
    if (origin !== undefined && !hosts.includes(origin.replace(/^http:\/\//, '')))
      throw new Refused(403, 'asked by another site');
    if (site !== undefined && site !== 'same-origin' && site !== 'none')
      throw new Refused(403, 'asked by another site');
    const file = deeper.length === 0 && Object.hasOwn(FILES, name) ? FILES[name] : undefined;
    if (file) {
      only(request, 'GET', 'HEAD');
      return [readFileSync(join(folder, file.name)), file.type];
    }
    const [what = '', ...rest] = deeper;
    const ask = name === 'ask' && rest.length === 0 && Object.hasOwn(answer, what) ? answer[what] : undefined;
    if (!ask) throw new Refused(404, 'there is nothing here');
    only(request, 'POST');
    if (!/^application\/json\b/.test(request.headers['content-type'] ?? ''))
      throw new Refused(415, 'a question is application/json');
    const gone = new AbortController();
    response.on('close', () => gone.abort());
    return [JSON.stringify(await ask(await readBody(request), gone.signal)), 'application/json'];
  }
}

function only({ method = '' }: IncomingMessage, ...methods: string[]): void {
  if (!methods.includes(method))
    throw new Refused(405, `${method} is not for this; ${methods.join(' and ')} are`, { Allow: methods.join(', ') });
}

function same(given: string, token: string): boolean {
  const [a, b] = [Buffer.from(given), Buffer.from(token)];
  return a.length === b.length && timingSafeEqual(a, b);
}

async function readBody(request: IncomingMessage): Promise<Record<string, unknown>> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > BODY) throw new Refused(413, `a question has at most ${BODY} bytes`);
    chunks.push(chunk);
  }
  try {
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    if (typeof body === 'object' && body !== null && !Array.isArray(body)) return body as Record<string, unknown>;
  } catch {
    // Refused below.
  }
  throw new Refused(400, 'a question is a JSON object');
}

function send(
  response: ServerResponse,
  status: number,
  body: string | Buffer,
  type: string,
  method = '',
  headers = {},
): void {
  if (response.destroyed || response.headersSent) return;
  response.writeHead(status, {
    ...HEADERS,
    ...headers,
    'Content-Type': type,
    'Content-Length': Buffer.byteLength(body),
  });
  response.end(method === 'HEAD' ? undefined : body);
}
