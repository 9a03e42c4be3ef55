import { type BmcParts, collection, HEALTHY, link, type Resource } from "../resource.js";

const SERVICE = "/redfish/v1/AccountService";
const PRIVILEGES: Record<string, string[]> = {
  Administrator: ["Login", "ConfigureManager", "ConfigureUsers", "ConfigureComponents", "ConfigureSelf"],
  Operator: ["Login", "ConfigureComponents", "ConfigureSelf"],
  ReadOnly: ["Login", "ConfigureSelf"],
};

/** The one account of a lab BMC, and the roles that DSP0266 section 13.2.8 predefines. Nothing here can be changed. */
export function accountResources({ userName }: BmcParts): Resource[] {
  const account = `${SERVICE}/Accounts/1`;
  const roles = Object.entries(PRIVILEGES).map(([role, privileges]): Resource => {
    const path = `${SERVICE}/Roles/${role}`;
    return {
      path,
      read: () => ({
        "@odata.id": path,
        "@odata.type": "#Role.v1_3_1.Role",
        Id: role,
        Name: `${role} Role`,
        RoleId: role,
        IsPredefined: true,
        AssignedPrivileges: privileges,
      }),
    };
  });
  return [
    {
      path: SERVICE,
      read: () => ({
        "@odata.id": SERVICE,
        "@odata.type": "#AccountService.v1_15_0.AccountService",
        Id: "AccountService",
        Name: "Account Service",
        ServiceEnabled: true,
        Status: HEALTHY,
        Accounts: link(`${SERVICE}/Accounts`),
        Roles: link(`${SERVICE}/Roles`),
      }),
    },
    collection(`${SERVICE}/Accounts`, "ManagerAccountCollection", "Accounts", () => [account]),
    collection(`${SERVICE}/Roles`, "RoleCollection", "Roles", () => roles.map((role) => role.path)),
    ...roles,
    {
      path: account,
      read: () => ({
        "@odata.id": account,
        "@odata.type": "#ManagerAccount.v1_12_0.ManagerAccount",
        Id: "1",
        Name: "Administrator's account",
        UserName: userName,
        Password: null,
        Enabled: true,
        Locked: false,
        AccountTypes: ["Redfish"],
        RoleId: "Administrator",
        Links: { Role: link(`${SERVICE}/Roles/Administrator`) },
      }),
    },
  ];
}
