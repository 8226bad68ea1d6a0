import { printSetDifficulty, printSetVersionMask } from '../../stratum/server-messages.ts';

/** What a miner was told last, so that it is told what has changed and nothing else. */
export class LastSent {
  /** Their key; undefined before the reply to its subscribe. */
  extranonces: string | undefined;
  /** 0 before the first job. */
  difficulty = 0;
  versionMask = 0;

  /**
   * The lines that have to stand before a job.
   * @param versionMask what its miner may roll of this job; undefined where it rolls nothing
   */
  beforeJob(difficulty: number, versionMask: number | undefined): string {
    let lines = '';
    if (versionMask !== undefined && versionMask !== this.versionMask) {
      lines += printSetVersionMask(versionMask);
      this.versionMask = versionMask;
    }
    if (difficulty !== this.difficulty) {
      lines += printSetDifficulty(difficulty);
      this.difficulty = difficulty;
    }
    return lines;
  }
}
