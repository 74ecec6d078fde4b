import { memory } from '../hazards/memory.ts';

memory(100_000);
