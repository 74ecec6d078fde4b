import { memory } from './hazards/memory.ts';

memory(5000);
