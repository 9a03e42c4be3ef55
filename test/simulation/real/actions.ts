/** What sessions are asked to do: every way through a session, with limits that a test can wait for. */
export const ACTIONS = ["active", "passive", "resume", "fails", "approved", "reboot-only"] as const;
export type ActionName = (typeof ACTIONS)[number];

/** Short, so that a seed ends soon: what runs into one of these on a busy host is brought home, or announced. */
const LIMITS = "limits: {boot: 20s, bootAttempts: 2, work: 40s, lease: 20s, home: 25s}";

export const DOCUMENTS = `
kind: Action
name: active
image: noise
mode: active
tasks: [{name: first, script: "sleep 1; echo '{}'"}, {name: second, script: "sleep 1; echo '{}'"}]
${LIMITS}
---
kind: Action
name: passive
image: noise
mode: passive
tasks: [{name: only, script: "sleep 2; echo '{}'"}]
${LIMITS}
---
kind: Action
name: resume
image: noise
mode: active
onReboot: resume
tasks: [{name: first, script: "sleep 1"}, {name: second, script: "sleep 2"}]
${LIMITS}
---
kind: Action
name: fails
image: noise
mode: active
tasks: [{name: fails, script: "sleep 1; exit 3"}, {name: never, script: "exit 0"}]
${LIMITS}
---
kind: Action
name: approved
image: noise
mode: active
approval: true
tasks: [{name: only, script: "sleep 1"}]
${LIMITS}
---
kind: Action
name: reboot-only
mode: active
${LIMITS}
`;
