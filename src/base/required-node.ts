/** The oldest Node that runs the program, as `engines` of `package.json` says. */
export const REQUIRED_NODE = '24.15';

/** Imported before all else: an older Node stops at the first thing that it lacks, without a word of why. */
const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
const [leastMajor = 0, leastMinor = 0] = REQUIRED_NODE.split('.').map(Number);
if (major < leastMajor || (major === leastMajor && minor < leastMinor)) {
  process.stderr.write(
    `node_too_old: this is Node ${process.versions.node}, and Sharestream needs ${REQUIRED_NODE} or newer\n` +
      'run `npm ci` and `npm link` in its folder: then `sharestream` brings its own\n',
  );
  process.exit(1);
}
