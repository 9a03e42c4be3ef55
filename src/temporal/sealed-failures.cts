// CommonJS, because the SDK loads a failure converter by `require`, on every Node.js that is supported.
import common = require("@temporalio/common");

/** Puts a failure's message and stack into a payload of their own, which the codec then encrypts like any other. */
const failureConverter = new common.DefaultFailureConverter({ encodeCommonAttributes: true });

export = { failureConverter };
