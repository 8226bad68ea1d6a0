import { expect } from 'vitest';
import type { UpstreamJob } from '../../src/jobs/job.ts';
import { PROFILES } from '../../src/upstream/profile.ts';
import { type SessionEffect, type SessionOptions, UpstreamSession } from '../../src/upstream/session.ts';
import { newUpstreamStats } from '../../src/upstream/stats.ts';
import type { UpstreamVerdict } from '../../src/upstream/upstream-share.ts';
import { VersionReadingTracker } from '../../src/upstream/version-reading.ts';
import { shareOf } from './work.ts';

type Request = { readonly id: number; readonly method: string; readonly params: readonly unknown[] };

export const MASK = 0x1fffe000;

/** A session driven by hand: collects what it would do. */
export class Driver {
  readonly stats = newUpstreamStats();
  readonly session: UpstreamSession;
  readonly sent: Request[] = [];
  readonly jobs: UpstreamJob[] = [];
  readonly verdicts: UpstreamVerdict[] = [];
  readonly effects: SessionEffect[] = [];
  nowMs = 1_000;

  constructor(options: Partial<SessionOptions> = {}) {
    const profile = options.profile ?? 'generic';
    this.session = new UpstreamSession(
      {
        worker: 'me.1',
        password: 'x',
        userAgent: 'test/1',
        profile,
        versionMask: MASK,
        reading: new VersionReadingTracker('replace'),
        shareTarget: PROFILES[profile].shareTarget,
        requestTimeoutMs: 10_000,
        submitTimeoutMs: 30_000,
        silenceMs: 180_000,
        jobsPerSecond: 20,
        extranonceSubscribe: false,
        suggestDifficulty: undefined,
        resumeMs: 0,
        resume: undefined,
        ...options,
      },
      { stats: this.stats },
    );
  }

  start(): this {
    return this.take(this.session.start(this.nowMs));
  }

  line(text: string): this {
    return this.take(this.session.receive(Buffer.from(text), this.nowMs));
  }

  reply(result: unknown, error: unknown = null): this {
    return this.line(JSON.stringify({ id: this.last.id, result, error }));
  }

  after(ms: number): this {
    this.nowMs += ms;
    return this.take(this.session.tick(this.nowMs));
  }

  submit(job: UpstreamJob, overrides: Parameters<typeof shareOf>[1] = {}): this {
    return this.take(this.session.submit(shareOf(job, overrides), undefined, this.nowMs));
  }

  /** Through the handshake, with `en1` and eight bytes of extranonce2. */
  up(extranonce1 = '0a0b0c0d', mask: string | null = '1fffe000'): this {
    this.start();
    if (this.last.method === 'mining.configure')
      this.reply(mask === null ? null : { 'version-rolling': true, 'version-rolling.mask': mask });
    this.reply([[['mining.notify', '1']], extranonce1, 8]).reply(true);
    expect(this.session.phase).toBe('up');
    return this;
  }

  take(effects: readonly SessionEffect[]): this {
    this.effects.push(...effects);
    for (const effect of effects) {
      if (effect.type === 'send') this.sent.push(JSON.parse(effect.line) as Request);
      if (effect.type === 'job') this.jobs.push(effect.job);
      if (effect.type === 'verdict') this.verdicts.push(effect.verdict);
    }
    return this;
  }

  get last(): Request {
    return this.sent.at(-1)!;
  }

  get job(): UpstreamJob {
    return this.jobs.at(-1)!;
  }

  get closed(): SessionEffect | undefined {
    return this.effects.find((effect) => effect.type === 'close');
  }
}
