import type { Action } from '../api/operation.ts';
import { CodedError } from '../base/errors.ts';
import { isRecord } from '../base/json.ts';
import { PAUSE_REASONS } from '../contract/notices.ts';
import type { NoticeRequest, NoticesView } from '../settlement/notice-board.ts';

/** Gives notice of a contract; throws `unknown_channel` where it is not served. */
type GiveNotice = (
  input: unknown,
  request: NoticeRequest,
  isDryRun: boolean,
) => { readonly contract: string; readonly notices: Promise<NoticesView> };

/** `POST /api/v1/contract/pause`, `resume`, `end` and `void`: with `dry_run` they say what they would do. */
export function noticeActions(give: GiveNotice): Readonly<Record<string, Action>> {
  const actionOf =
    (requestOf: (fields: Readonly<Record<string, unknown>>) => NoticeRequest): Action =>
    async (input) => {
      const fields = isRecord(input) ? input : {};
      const isDryRun = fields['dry_run'] === true;
      const { contract, notices } = give(input, requestOf(fields), isDryRun);
      return { contract, dry_run: isDryRun, ...noticesJson(await notices) };
    };
  return {
    'contract/pause': actionOf(pauseOf),
    'contract/resume': actionOf(() => ({ type: 'resume' })),
    'contract/end': actionOf(() => ({ type: 'end' })),
    'contract/void': actionOf(() => ({ type: 'void' })),
  };
}

function pauseOf({ reason, from_height, blocks }: Readonly<Record<string, unknown>>): NoticeRequest {
  const known = PAUSE_REASONS.find((each) => each === reason);
  if (known === undefined) throw new CodedError('usage', `reason must be of ${PAUSE_REASONS.join(', ')}`);
  return {
    ...{ type: 'pause', reason: known },
    ...numberOf('fromHeight', from_height, 'from_height'),
    ...numberOf('blocks', blocks, 'blocks'),
  };
}

/** No height and no number of blocks is above. */
const MOST = 500_000_000;

function numberOf<K extends string>(key: K, value: unknown, name: string): { readonly [N in K]?: number } {
  if (value === undefined) return {};
  if (typeof value !== 'number' || !Number.isInteger(value) || value < 1 || value > MOST)
    throw new CodedError('usage', `${name} must be a whole number from 1`);
  return { [key]: value } as { readonly [N in K]?: number };
}

/** The notices of a contract as an answer shows them. */
function noticesJson({ pauses, ends, curtailedBlocks, writtenOffSat }: NoticesView): object {
  const pauseJson = (pause: NoticesView['pauses']['miner']) =>
    pause === undefined
      ? null
      : {
          ...{ reason: pause.reason, from_height: pause.fromHeight },
          until_height: pause.untilHeight ?? null,
        };
  const endJson = (end: NoticesView['ends']['miner']) =>
    end === undefined ? null : { height: end.height, counts: end.isTaken };
  return {
    pauses: { miner: pauseJson(pauses.miner), maker: pauseJson(pauses.maker) },
    ends: { miner: endJson(ends.miner), maker: endJson(ends.maker) },
    ...{ curtailed_blocks: curtailedBlocks, written_off_sat: writtenOffSat?.toString() ?? null },
  };
}
