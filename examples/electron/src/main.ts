// The main process: starts the utility process that has the collection, and gives each window a port to it.
import { join } from 'node:path';
import { app, BrowserWindow, MessageChannelMain, type UtilityProcess, utilityProcess } from 'electron';

function open(database: UtilityProcess): void {
  const preload = join(__dirname, 'preload.js');
  const window = new BrowserWindow({ webPreferences: { preload, sandbox: true, contextIsolation: true } });
  // A page that is loaded again gets a new port; the old one has died with it.
  window.webContents.on('did-finish-load', () => {
    const { port1, port2 } = new MessageChannelMain();
    database.postMessage('serve', [port1]);
    window.webContents.postMessage('auspex', null, [port2]);
  });
  window.loadFile(join(__dirname, '../index.html'));
}

app.whenReady().then(() => {
  const path = join(app.getPath('userData'), 'notes.auspex');
  const database = utilityProcess.fork(join(__dirname, 'database.js'), [path], { serviceName: 'notes' });
  open(database);
  app.on('activate', () => {
    if (BrowserWindow.getAllWindows().length === 0) open(database);
  });

  // The collection is closed before the application ends; without that nothing is lost, and opening takes longer.
  let closed = false;
  database.once('exit', () => {
    closed = true;
    app.quit();
  });
  app.on('before-quit', (event) => {
    if (closed) return;
    event.preventDefault();
    database.postMessage('close');
  });
});

app.on('window-all-closed', () => {
  if (process.platform !== 'darwin') app.quit();
});
