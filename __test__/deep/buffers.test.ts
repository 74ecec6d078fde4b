import { buffers } from '../hazards/buffers.ts';

buffers({ rounds: 1000, workers: 200 });
