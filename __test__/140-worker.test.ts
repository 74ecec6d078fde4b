import { threads, workers } from './hazards/workers.ts';

threads();
workers({ terminations: 50, exits: 4 });
