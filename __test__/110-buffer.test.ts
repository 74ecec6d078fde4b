import { buffers } from './hazards/buffers.ts';

buffers({ rounds: 50, workers: 10 });
