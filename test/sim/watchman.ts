import { CodedError } from '../../src/base/errors.ts';
import { SerialQueue } from '../../src/base/serial-queue.ts';
import type { ChainSource, ChainTip } from '../../src/chain/source.ts';
import { type Ladder, parseLadder } from '../../src/channel/ladder-file.ts';
import type { Logger } from '../../src/log/logger.ts';
import { isNewer } from '../../src/operator/ladder-files.ts';
import { LadderWatch } from '../../src/operator/ladder-watch.ts';
import type { LadderFileAccess } from '../../src/settlement/ladder-writer.ts';

/** Files by path: what is replaced here is there at once. */
export class Folder {
  readonly texts = new Map<string, string>();

  /** For one life of a process: a dead one changes nothing any more. */
  access(isDead: () => boolean): LadderFileAccess {
    return {
      read: async (path) => {
        const text = this.texts.get(path);
        if (text === undefined) throw Object.assign(new Error('no such file'), { code: 'ENOENT' });
        return text;
      },
      replace: async (path, text) => {
        if (!isDead()) this.texts.set(path, text);
      },
      remove: async (path) => {
        if (!isDead()) this.texts.delete(path);
      },
    };
  }
}

/** `sharestream watch` on another machine: the ladder files of a folder, and a node of its own. */
export class Watchman {
  readonly #folder: Folder;
  readonly #watch: LadderWatch;
  readonly #serial = new SerialQueue();
  #newest: Ladder | undefined;

  constructor(folder: Folder, deps: { readonly chain: ChainSource; readonly log: Logger }) {
    this.#folder = folder;
    this.#watch = new LadderWatch(deps);
    deps.chain.watchTip((tip) => void this.#serial.run(() => this.#look(tip)));
  }

  async #look(tip: ChainTip): Promise<void> {
    for (const text of this.#folder.texts.values()) {
      const ladder = parseLadder(text);
      if (isNewer(ladder, this.#newest)) this.#newest = ladder;
    }
    if (this.#newest === undefined) return;
    try {
      await this.#watch.look(this.#newest, tip);
    } catch (error) {
      if (!(error instanceof CodedError)) throw error;
    }
  }
}
