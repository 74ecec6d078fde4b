// The page: a browser's script, without Node.
import { connect, isAuspexError } from 'auspex/electron/renderer';

/** How often each letter is in a text: an embedding model's place. */
const embed = (text: string) =>
  Float32Array.from('abcdefghijklmnopqrstuvwxyz', (letter) => text.toLowerCase().split(letter).length - 1);

const element = <T extends HTMLElement>(id: string) => document.getElementById(id) as T;

window.addEventListener('message', async ({ source, data, ports: [port] }) => {
  if (source !== window || data !== 'auspex' || !port) return;
  const notes = await connect<{ text: string }>(port, { name: 'notes' });

  element<HTMLFormElement>('add').onsubmit = async (event) => {
    event.preventDefault();
    const { value: text } = element<HTMLInputElement>('text');
    try {
      await notes.insert({ id: crypto.randomUUID(), vector: embed(text), metadata: { text } });
      element('said').textContent = `${await notes.count()} notes`;
    } catch (error) {
      if (!isAuspexError(error)) throw error;
      element('said').textContent = `${error.code}: ${error.message}`;
    }
  };

  let search = new AbortController();
  element<HTMLInputElement>('query').oninput = async ({ target }) => {
    search.abort();
    search = new AbortController();
    const query = embed((target as HTMLInputElement).value);
    const found = await notes.search(query, { k: 5, signal: search.signal }).catch(() => []);
    element('hits').replaceChildren(
      ...found.map(({ metadata }) => Object.assign(document.createElement('li'), { textContent: metadata.text })),
    );
  };
});
