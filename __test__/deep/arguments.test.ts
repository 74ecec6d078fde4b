import { fuzz } from '../hazards/arguments.ts';

fuzz(10_000);
