import type { Books, Finding } from './audit.ts';
import type { Side } from './network.ts';
import type { SeededRandom } from './random.ts';
import type { Stage } from './stage.ts';
import type { WorldOptions } from './world-options.ts';

/** A way to misbehave, or something that befalls the honest. */
export type Strategy = {
  /** In words: what is done. */
  readonly what: string;
  /** The fault of the audit that it repeats (F1 to F26), or the row of the table of endings, or `chance`. */
  readonly row: string;
  /** Who follows it; nobody where only things go wrong. */
  readonly hostile: readonly Side[];
  readonly options?: (random: SeededRandom) => WorldOptions;
  /** Before anybody starts. */
  readonly begin?: (stage: Stage) => void | Promise<void>;
  /** After everything that happens. */
  readonly step?: (stage: Stage) => void | Promise<void>;
  /** Instead of an opening, some random actions, and a life through the expiry. */
  readonly play?: (stage: Stage) => Promise<void>;
  /** What else is wrong in the end. */
  readonly judge?: (stage: Stage, books: Books) => readonly Finding[] | Promise<readonly Finding[]>;
  /** Sides whose wealth is not compared: what befell them may cost anything. */
  readonly unjudged?: readonly Side[];
};
