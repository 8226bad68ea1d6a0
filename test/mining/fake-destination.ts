import type { UpstreamJob } from '../../src/jobs/job.ts';
import type {
  Destination,
  DestinationFigures,
  DestinationListener,
  LinkMode,
} from '../../src/upstream/destination.ts';
import type { UpstreamShare, VerdictCallback } from '../../src/upstream/upstream-share.ts';

/** A destination without a connection: work that came some other way, and shares that are kept. */
export class FakeDestination implements Destination {
  readonly name: string;
  readonly links = undefined;
  readonly shares: UpstreamShare[] = [];
  readonly #listener: DestinationListener;
  mode: LinkMode | undefined = 'shared';
  isUp = true;
  isStarted = false;
  lastJob: UpstreamJob | undefined;

  constructor(name: string, listener: DestinationListener = {}) {
    this.name = name;
    this.#listener = listener;
  }

  get health(): Destination['health'] {
    return {
      ...{ name: this.name, isUp: this.isUp, jobAgeMs: this.isUp ? 0 : undefined, jobAgeLimitMs: 60_000 },
      ...{ rejectRatio: 0, verdicts: 0, rttMs: undefined, shapeChanges: 0 },
    };
  }

  get figures(): DestinationFigures {
    return {
      shares: { accepted: this.shares.length, refused: 0, timeout: 0, lost: 0 },
      verdicts: {
        ...{ weAcceptedTheyAccepted: 0, weAcceptedTheyRejected: 0, weAcceptedTheySilent: 0 },
        ...{ weRejectedTheyAccepted: 0, weRejectedTheyRejected: 0, weRejectedTheySilent: 0, incomplete: 0 },
      },
      ...{ sharesInFlight: 0, lastRefusal: undefined, connection: undefined, links: undefined },
    };
  }

  start(): void {
    this.isStarted = true;
  }

  stop(): void {
    this.isStarted = false;
  }

  give(job: UpstreamJob): void {
    this.lastJob = job;
    this.#listener.onJob?.(this, job);
  }

  submit(share: UpstreamShare, done?: VerdictCallback): void {
    this.shares.push(share);
    queueMicrotask(() => done?.({ outcome: 'accepted', code: undefined, reason: '', rttMs: undefined }));
  }

  judged(): void {}
}
