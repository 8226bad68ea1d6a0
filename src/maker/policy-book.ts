import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { SerialQueue } from '../base/serial-queue.ts';
import type { Ledger } from '../ledger/ledger.ts';
import type { Logger } from '../log/logger.ts';
import type { MakerPolicy } from './policy.ts';

/** The kind of the ledger document of what was set at run time; the id is `maker`. */
const POLICY_KIND = 'policy';
const POLICY_ID = 'maker';

/** Values of options that were set at run time, by their path, as text. */
export type PolicySettings = Readonly<Record<string, string>>;

export type PolicyBookDeps = {
  readonly ledger: Ledger;
  readonly log: Logger;
  /** The policy of the file with these settings over it. Throws `config_invalid`. */
  readonly apply?: (settings: PolicySettings) => MakerPolicy;
};

/**
 * The policy in force: that of the file, and over it what was set at run time, which is on disk before it
 * holds and survives restarts.
 */
export class PolicyBook {
  readonly #deps: PolicyBookDeps;
  readonly #queue = new SerialQueue();
  #settings: PolicySettings = {};
  #policy: MakerPolicy;

  constructor(file: MakerPolicy, deps: PolicyBookDeps) {
    this.#policy = file;
    this.#deps = deps;
  }

  get policy(): MakerPolicy {
    return this.#policy;
  }

  get settings(): PolicySettings {
    return this.#settings;
  }

  /**
   * Reads what was set. Where the file has changed so that it does not go with it any more, nothing new is
   * taken until an operator says what holds: channels are served as ever.
   */
  async load(): Promise<void> {
    const body = await this.#deps.ledger.get(POLICY_KIND, POLICY_ID);
    if (body === undefined) return;
    this.#settings = settingsOf(body);
    if (Object.keys(this.#settings).length === 0) return;
    try {
      this.#policy = this.#applied(this.#settings);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
      const detail = error.message;
      this.#deps.log.error({ code: error.code, detail }, 'the policy set at run time no longer applies');
      this.#policy = { ...this.#policy, isHalted: true };
    }
  }

  /**
   * Sets options; undefined takes one back to what the file says. Resolves once it is on disk and holds.
   * Throws `config_invalid`, and then nothing has changed.
   */
  set(changes: Readonly<Record<string, string | undefined>>): Promise<PolicySettings> {
    return this.#queue.run(async () => {
      const { settings } = this.check(changes);
      const body = JSON.stringify({ version: 1, settings });
      await this.#deps.ledger.appendNow([{ type: 'put', kind: POLICY_KIND, id: POLICY_ID, body }]);
      this.#settings = settings;
      // The file may be another by now.
      this.#policy = this.#applied(settings);
      this.#deps.log.info({ settings }, 'the policy was set');
      return settings;
    });
  }

  /** Another file: the policy that it makes with the settings over it. */
  hold(policy: MakerPolicy): void {
    this.#policy = policy;
  }

  /** What would hold after `set`, without setting it. Throws `config_invalid`. */
  check(changes: Readonly<Record<string, string | undefined>>): {
    readonly settings: PolicySettings;
    readonly policy: MakerPolicy;
  } {
    const settings: Record<string, string> = { ...this.#settings };
    for (const [path, value] of Object.entries(changes)) {
      if (value === undefined) delete settings[path];
      else settings[path] = value;
    }
    return { settings, policy: this.#applied(settings) };
  }

  #applied(settings: PolicySettings): MakerPolicy {
    const { apply } = this.#deps;
    if (apply === undefined) throw new CodedError('config_invalid', 'the policy cannot be set here');
    return apply(settings);
  }
}

/** Throws `ledger_corrupt`. */
function settingsOf(body: string): PolicySettings {
  const document: unknown = JSON.parse(body);
  const settings = isRecord(document) ? document['settings'] : undefined;
  if (!isRecord(settings)) throw new CodedError('ledger_corrupt', 'the policy that was set');
  return Object.fromEntries(Object.entries(settings).map(([path, value]) => [path, String(value)]));
}
