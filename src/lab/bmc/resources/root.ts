import type { BmcParts, Resource } from "../resource.js";
import { link } from "../resource.js";

/** The service root and the documents of OData, all readable without login (DSP0266 section 13.2.4). */
export function rootResources({ name, serviceUuid }: BmcParts): Resource[] {
  const root: Resource = {
    path: "/redfish/v1",
    open: true,
    read: () => ({
      "@odata.id": "/redfish/v1/",
      "@odata.type": "#ServiceRoot.v1_17_0.ServiceRoot",
      Id: "RootService",
      Name: "Root Service",
      RedfishVersion: "1.20.0",
      UUID: serviceUuid,
      Vendor: "Pitstop",
      Product: `Pitstop lab BMC of ${name}`,
      ProtocolFeaturesSupported: {
        ExpandQuery: { ExpandAll: true, Levels: true, MaxLevels: MAX_EXPAND_LEVELS, Links: true, NoLinks: true },
        FilterQuery: false,
        SelectQuery: false,
        ExcerptQuery: false,
        OnlyMemberQuery: true,
      },
      Systems: link("/redfish/v1/Systems"),
      Chassis: link("/redfish/v1/Chassis"),
      Managers: link("/redfish/v1/Managers"),
      AccountService: link("/redfish/v1/AccountService"),
      SessionService: link("/redfish/v1/SessionService"),
      Links: { Sessions: link("/redfish/v1/SessionService/Sessions") },
    }),
  };
  return [
    { path: "/redfish", open: true, read: () => ({ v1: "/redfish/v1/" }) },
    root,
    { path: "/redfish/v1/odata", open: true, read: serviceDocument },
    { path: "/redfish/v1/$metadata", open: true, xml: metadata },
  ];
}

export const MAX_EXPAND_LEVELS = 2;

const serviceDocument = () => ({
  "@odata.context": "/redfish/v1/$metadata",
  value: [
    { name: "Service", kind: "Singleton", url: "/redfish/v1/" },
    { name: "Systems", kind: "Singleton", url: "/redfish/v1/Systems" },
    { name: "Chassis", kind: "Singleton", url: "/redfish/v1/Chassis" },
    { name: "Managers", kind: "Singleton", url: "/redfish/v1/Managers" },
    { name: "AccountService", kind: "Singleton", url: "/redfish/v1/AccountService" },
    { name: "SessionService", kind: "Singleton", url: "/redfish/v1/SessionService" },
    { name: "Sessions", kind: "Singleton", url: "/redfish/v1/SessionService/Sessions" },
  ],
});

/** Every schema that the service's resources name, with the version that they name. */
const SCHEMAS: readonly (readonly [string, string | null])[] = [
  ["AccountService", "v1_15_0"],
  ["ActionInfo", "v1_4_0"],
  ["BootOption", "v1_0_6"],
  ["BootOptionCollection", null],
  ["Chassis", "v1_25_0"],
  ["ChassisCollection", null],
  ["ComputerSystem", "v1_22_0"],
  ["ComputerSystemCollection", null],
  ["EthernetInterface", "v1_12_0"],
  ["EthernetInterfaceCollection", null],
  ["Manager", "v1_19_0"],
  ["ManagerAccount", "v1_12_0"],
  ["ManagerAccountCollection", null],
  ["ManagerCollection", null],
  ["ManagerNetworkProtocol", "v1_10_0"],
  ["Message", "v1_2_1"],
  ["Resource", "v1_18_0"],
  ["Role", "v1_3_1"],
  ["RoleCollection", null],
  ["SecureBoot", "v1_1_0"],
  ["ServiceRoot", "v1_17_0"],
  ["Session", "v1_7_0"],
  ["SessionCollection", null],
  ["SessionService", "v1_1_9"],
  ["Settings", "v1_3_5"],
  ["VirtualMedia", "v1_6_3"],
  ["VirtualMediaCollection", null],
];

function metadata(): string {
  const references = SCHEMAS.map(([name, version]) => {
    const versioned = version === null ? "" : `\n    <edmx:Include Namespace="${name}.${version}"/>`;
    return `  <edmx:Reference Uri="http://redfish.dmtf.org/schemas/v1/${name}_v1.xml">
    <edmx:Include Namespace="${name}"/>${versioned}
  </edmx:Reference>`;
  });
  return `<?xml version="1.0" encoding="UTF-8"?>
<edmx:Edmx xmlns:edmx="http://docs.oasis-open.org/odata/ns/edmx" Version="4.0">
  <edmx:Reference Uri="http://redfish.dmtf.org/schemas/v1/RedfishExtensions_v1.xml">
    <edmx:Include Namespace="RedfishExtensions.v1_0_0" Alias="Redfish"/>
  </edmx:Reference>
${references.join("\n")}
  <edmx:DataServices>
    <Schema xmlns="http://docs.oasis-open.org/odata/ns/edm" Namespace="Service">
      <EntityContainer Name="Service" Extends="ServiceRoot.v1_17_0.ServiceContainer"/>
    </Schema>
  </edmx:DataServices>
</edmx:Edmx>
`;
}
