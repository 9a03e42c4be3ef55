/** Messages of the DMTF Base registry that this service uses: id, severity and wording of our own. */
const REGISTRY = "Base.1.19";

type Severity = "OK" | "Warning" | "Critical";
type Entry = readonly [Severity, (args: readonly string[]) => string, string];

const MESSAGES = {
  AccessDenied: ["Critical", ([uri]) => `'${uri}' denied access.`, "Give credentials that the URI accepts."],
  ActionNotSupported: ["Critical", ([action]) => `The action ${action} is not supported here.`, "Use another action."],
  ActionParameterMissing: [
    "Critical",
    ([action, name]) => `The action ${action} needs the parameter ${name}.`,
    "Give the parameter.",
  ],
  ActionParameterUnknown: [
    "Warning",
    ([action, name]) => `The action ${action} has no parameter ${name}.`,
    "Leave the parameter out.",
  ],
  ActionParameterValueError: [
    "Warning",
    ([name, action]) => `The value of the parameter ${name} of the action ${action} is not usable.`,
    "Correct the value.",
  ],
  CouldNotEstablishConnection: [
    "Critical",
    ([uri]) => `Nothing usable was got from '${uri}'.`,
    "Check that the URI is reachable from this BMC and serves the file.",
  ],
  GeneralError: ["Critical", () => "The request failed.", "See the extended information."],
  InternalError: ["Critical", () => "The service failed internally.", "Try again."],
  MalformedJSON: ["Critical", () => "The body is not JSON.", "Correct the body."],
  NoOperation: ["Warning", () => "The request would change nothing.", "Name a property to change."],
  NoValidSession: ["Critical", () => "There is no valid session.", "Log in."],
  OperationNotAllowed: ["Warning", () => "The operation is not allowed as things are.", "Change the state first."],
  PayloadTooLarge: ["Warning", () => "The body is too large.", "Send less."],
  PreconditionFailed: ["Critical", () => "The ETag does not match the resource.", "Read the resource again."],
  PropertyMissing: ["Warning", ([name]) => `The property ${name} is required.`, "Give the property."],
  PropertyNotWritable: ["Warning", ([name]) => `The property ${name} is read-only.`, "Leave the property out."],
  PropertyUnknown: ["Warning", ([name]) => `There is no property ${name} here.`, "Leave the property out."],
  PropertyValueConflict: [
    "Warning",
    ([name, other]) => `The property ${name} cannot have this value because of ${other}.`,
    "Set both so that they agree.",
  ],
  PropertyValueError: ["Warning", ([name]) => `The value of the property ${name} is not usable.`, "Correct the value."],
  PropertyValueNotInList: [
    "Warning",
    ([value, name]) => `The value '${value}' is not allowed for the property ${name}.`,
    "Choose one of the allowable values.",
  ],
  PropertyValueTypeError: [
    "Warning",
    ([value, name]) => `The value '${value}' of the property ${name} has the wrong type.`,
    "Correct the value.",
  ],
  QueryParameterUnsupported: ["Warning", ([name]) => `The query parameter ${name} is not supported.`, "Leave it out."],
  ResourceInStandby: ["Critical", () => "The system is off.", "Power it on first."],
  ResourceInUse: ["Warning", () => "The resource is in use or in transition.", "Try again when it is free."],
  ResourceMissingAtURI: ["Critical", ([uri]) => `There is nothing at '${uri}'.`, "Correct the URI."],
  ServiceTemporarilyUnavailable: ["Critical", ([seconds]) => `Try again in ${seconds} seconds.`, "Wait, then retry."],
  SessionLimitExceeded: ["Critical", () => "There are too many sessions.", "Log out of some, then retry."],
  Success: ["OK", () => "The request completed successfully.", "None."],
} satisfies Record<string, Entry>;
export type MessageKey = keyof typeof MESSAGES;

/** DSP0266 section 9.6: one entry of `@Message.ExtendedInfo`. */
export interface ExtendedInfo {
  "@odata.type": "#Message.v1_2_1.Message";
  MessageId: string;
  Message: string;
  MessageArgs: string[];
  MessageSeverity: Severity;
  Severity: Severity;
  Resolution: string;
  RelatedProperties?: string[];
}

/** `property`: a JSON pointer into the request's body, when the message is about one. */
export function message(key: MessageKey, args: readonly string[] = [], property?: string): ExtendedInfo {
  const [severity, text, resolution]: Entry = MESSAGES[key];
  return {
    "@odata.type": "#Message.v1_2_1.Message",
    MessageId: `${REGISTRY}.${key}`,
    Message: text(args),
    MessageArgs: [...args],
    MessageSeverity: severity,
    Severity: severity,
    Resolution: resolution,
    ...(property === undefined ? {} : { RelatedProperties: [property] }),
  };
}

/** A refusal that becomes a Redfish error response. */
export class RedfishError extends Error {
  constructor(
    readonly status: number,
    readonly infos: readonly ExtendedInfo[],
    readonly headers: Record<string, string> = {},
  ) {
    super(infos[0]?.Message ?? "error");
    this.name = "RedfishError";
  }
}

export const refuse = (status: number, key: MessageKey, args: readonly string[] = [], property?: string) =>
  new RedfishError(status, [message(key, args, property)]);

/** DSP0266 section 8.6: the body of an error response. */
export function errorBody(infos: readonly ExtendedInfo[]): Record<string, unknown> {
  const only = infos.length === 1 ? infos[0] : undefined;
  const general = message("GeneralError");
  return {
    error: {
      code: only?.MessageId ?? general.MessageId,
      message: only?.Message ?? general.Message,
      "@Message.ExtendedInfo": infos,
    },
  };
}
