import { workers } from '../hazards/workers.ts';

workers({ terminations: 100, exits: 20 });
