import type { Job } from '../../jobs/job.ts';
import type { ShareTarget, Submission } from '../../shares/share.ts';
import type { RawId } from '../../stratum/envelope.ts';
import type { SessionWorker } from './worker.ts';

/** A submit on its way through the share engine, with what its reply needs. */
export class DownstreamSubmission<Session> implements Submission {
  readonly job: Job;
  readonly assigned: ShareTarget;
  readonly extranonce: Uint8Array;
  readonly ntime: number;
  readonly nonce: number;
  readonly version: number;
  readonly session: Session;
  readonly worker: SessionWorker;
  /** Echoed in the reply: a number, or any other id as JSON text. */
  readonly requestId: number | RawId;

  constructor(
    session: Session,
    worker: SessionWorker,
    requestId: number | RawId,
    job: Job,
    assigned: ShareTarget,
    extranonce: Uint8Array,
    ntime: number,
    nonce: number,
    version: number,
  ) {
    this.job = job;
    this.assigned = assigned;
    this.extranonce = extranonce;
    this.ntime = ntime;
    this.nonce = nonce;
    this.version = version;
    this.session = session;
    this.worker = worker;
    this.requestId = requestId;
  }

  get workerName(): string {
    return this.worker.name;
  }
}
