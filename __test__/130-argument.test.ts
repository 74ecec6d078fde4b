import { fuzz, table } from './hazards/arguments.ts';

table();
fuzz(500);
