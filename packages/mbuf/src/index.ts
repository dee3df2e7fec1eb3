/** `@umbuf/mbuf`: mbufs, clusters, external storage and chain operations. See docs/architecture. */

export type { Bytes } from './bytes.ts';
export { checkMbufs, readMbstat, type StatisticsView, viewMbufs } from './check.ts';
export type { DeviceCopy } from './chain/devget.ts';
export { hexadecimal, type PointerFormat, type PointerKind } from './chain/print.ts';
export * from './constants.ts';
export { drainCount, type DrainKind } from './drain.ts';
export * from './errors.ts';
export type { ExternalFree } from './external/callbacks.ts';
export * from './freebsd-flags.ts';
export type { Free } from './free.ts';
export type { Get, GetCluster } from './get.ts';
export {
  ExternalRecord,
  MbufHeader,
  MbufQueue,
  MbufRoot,
  MbufStatistics,
  PacketHeader,
  TagRecord,
} from './layout.ts';
export { ENOBUFS, PacketQueue } from './mbufq.ts';
export { Mbufs } from './mbufs.ts';
export * from './netbsd-flags.ts';
export { type DefaultOwners } from './owner.ts';
export { type PresetView, presetView } from './preset.ts';
export { EpgFlag, ExtPages, KtlsSession } from './pages/layout.ts';
export type { MbufOptions, ZoneLimits } from './root.ts';
export {
  EOPNOTSUPP,
  type InterfaceHooks,
  SEND_TAG_BYTES,
  type SendTagResult,
} from './send-tag.ts';
export * from './packet/index.ts';
export * from './sizing.ts';
export {
  INTERFACE_MAX,
  MbufChain,
  MbufSystem,
  PROFILE_CLASSES,
  SendTagRecord,
} from './system-layout.ts';
export { mbufMetrics } from './statistics/metrics.ts';
export { formatNetbsdNetstatM, formatOwners, type Mbstat } from './statistics/netbsd-netstat.ts';
export { formatNetstatM, type JumboCount, netstatM, type NetstatM } from './statistics/netstat.ts';
export { liveTags, MTAG_PERSISTENT, TAG_HEADER_BYTES } from './tag.ts';
export type { MbufZones } from './zones.ts';
