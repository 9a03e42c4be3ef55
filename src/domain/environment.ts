/** What any program may need to be found, to speak a language, to write a file and to reach the world. */
const PASSED =
  /^(PATH|HOME|USER|LOGNAME|SHELL|LANG|LC_[A-Z]+|LD_LIBRARY_PATH|TZ|TMPDIR|XDG_[A-Z_]+|SSH_AUTH_SOCK|SSL_CERT_(FILE|DIR)|NODE_EXTRA_CA_CERTS|(https?|no|all)_proxy|GO[A-Z]+)$/i;

/**
 * The environment of a program that we start: of ours only what is listed above. Passwords, keys and tokens may be in our
 * own (`PITSTOP_TOKEN`, `DATABASE_URL`, whatever a `{env: NAME}` names), and some of these programs outlive us, tell their
 * environment in a dump, or are not ours at all.
 */
export function bareEnvironment(
  more: NodeJS.ProcessEnv = {},
  from: NodeJS.ProcessEnv = process.env,
): NodeJS.ProcessEnv {
  return { ...Object.fromEntries(Object.entries(from).filter(([name]) => PASSED.test(name))), ...more };
}
