// The utility process: it alone loads the addon and has the folder open.
import { open } from 'auspex';
import { serve } from 'auspex/electron';

async function main(path: string): Promise<void> {
  const notes = await open<{ text: string }>(path, { dim: 26 });
  // Messages wait until there is a listener.
  process.parentPort.on('message', async ({ data, ports: [port] }) => {
    if (port) serve({ notes }, port);
    if (data !== 'close') return;
    await notes.close();
    process.exit();
  });
}

main(process.argv[2] ?? 'notes.auspex').catch((error) => {
  console.error(error);
  process.exit(1);
});
