// A port cannot pass the context bridge; it goes on to the page by a message of its window.
import { ipcRenderer } from 'electron';

ipcRenderer.on('auspex', ({ ports }) => window.postMessage('auspex', '*', ports));
