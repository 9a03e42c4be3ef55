import { z } from "zod";
import { refuse } from "../messages.js";
import { type BmcParts, collection, createBody, type Json, link, patchOf, type Resource } from "../resource.js";
import type { BmcSession } from "../sessions.js";

const SERVICE = "/redfish/v1/SessionService";
const SESSIONS = `${SERVICE}/Sessions`;
const Login = z.strictObject({ UserName: z.string().max(256), Password: z.string().max(1024) });

/** SessionService and the way in (DSP0266 section 13.3). */
export function sessionResources({ sessions, state }: BmcParts): Resource[] {
  const create: NonNullable<Resource["post"]> = async (body) => {
    const { UserName, Password } = createBody(Login, body);
    const { session, token } = sessions.open(UserName, Password);
    return {
      status: 201,
      headers: { "X-Auth-Token": token, Location: `${SESSIONS}/${session.id}` },
      body: describe(session),
    };
  };
  const list = collection(SESSIONS, "SessionCollection", "Sessions", () =>
    sessions.list().map((session) => `${SESSIONS}/${session.id}`),
  );
  return [
    {
      path: SERVICE,
      read: () => ({
        "@odata.id": SERVICE,
        "@odata.type": "#SessionService.v1_1_9.SessionService",
        Id: "SessionService",
        Name: "Session Service",
        ServiceEnabled: true,
        SessionTimeout: state.current.sessionTimeoutSeconds,
        Status: { State: "Enabled", Health: "OK" },
        Sessions: link(SESSIONS),
      }),
      patch: patchOf(z.strictObject({ SessionTimeout: z.number().int().min(30).max(86_400) }), async (values) => {
        if (values.SessionTimeout !== undefined) await state.update({ sessionTimeoutSeconds: values.SessionTimeout });
      }),
    },
    { ...list, openPost: true, post: create },
    { path: `${SESSIONS}/Members`, openPost: true, post: create },
  ];
}

/** One session, by its id; DELETE logs it out. */
export function sessionResource({ sessions }: BmcParts, path: string): Resource | null {
  const id = path.startsWith(`${SESSIONS}/`) ? path.slice(SESSIONS.length + 1) : null;
  const session = sessions.list().find((each) => each.id === id);
  if (!session) return null;
  return {
    path,
    read: () => {
      if (!sessions.list().includes(session)) throw refuse(404, "ResourceMissingAtURI", [path]);
      return describe(session);
    },
    remove: () => sessions.close(session.id),
  };
}

const describe = (session: BmcSession): Json => ({
  "@odata.id": `${SESSIONS}/${session.id}`,
  "@odata.type": "#Session.v1_7_0.Session",
  Id: session.id,
  Name: `Session ${session.id}`,
  UserName: session.userName,
  SessionType: "Redfish",
  CreatedTime: session.createdAt,
});
