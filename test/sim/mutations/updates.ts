import { type Mutations, without } from './mutation.ts';

const course = without('contract/update-course.ts');
const updates = without('settlement/contract-updates.ts');
const prices = without('contract/updated-terms.ts');

/** Each check of terms that change, undone. */
export const OF_UPDATES: Mutations = {
  'revoked-update-holds': course(
    'an update that was taken back holds once it is shown with both signatures',
    'revoked-update-again',
    'assertLive(state, hashHex);\n    checkUpdate',
    'checkUpdate',
  ),
  'one-signature-is-enough': updates(
    'what is shown as agreed needs no signatures',
    'unsigned-update-shown',
    'for (const each of updates) verifyAgreed(this.#store.terms, each);',
  ),
  'old-work-repriced': prices(
    'an update changes the price of all work',
    'updates-come-and-go',
    '[{ fromHashes, msatPerEh }]',
    '[{ fromHashes: 0n, msatPerEh }]',
  ),
  'updates-beyond-policy': updates(
    'what an update raises is held to no limit of the maker',
    'raises-beyond-policy',
    'this.#parts.judge?.(event.update);',
    'return;',
  ),
  'updates-beyond-exposure': updates(
    'what an update raises is held to no limit of the miner',
    'raises-and-signs-no-more',
    'this.#parts.judge?.(event.update);',
    'return;',
  ),
  'promised-step-changes': prices(
    'the step changes where delivery is promised, by which the fault of a minute is told',
    'changes-what-is-promised',
    "if (terms.delivery !== undefined) refuseTerm('step_hashes', 'is fixed where delivery is promised');",
  ),
  'update-signed-anew-to-tell': updates(
    'the other side is told another signature of an update than the one on disk',
    'updates-come-and-go',
    "const signature = this.#options.role === 'miner' ? minerSignature : makerSignature;",
    'const signature = signUpdate(update, this.#deps.signer); void [minerSignature, makerSignature];',
  ),
  'updates-are-forgotten': without('settlement/records.ts')(
    'a start knows no updates',
    'updates-come-and-go',
    'withSignedUpdates(record.terms, updates)',
    'withSignedUpdates(record.terms, updates.slice(0, 0))',
    2,
  ),
};
