import { agreements } from '../hazards/filters.ts';

agreements(100_000);
