import { agreement } from '../hazards/filters.ts';

agreement(100_000);
