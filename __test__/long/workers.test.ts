import { workers } from '../hazards/workers.ts';

workers({ terminations: 500, exits: 200 });
