/** The packet pipeline behind `umbuf pcap`: captures through mbufs across CPUs. See protocol.ts. */

export { PipelineError } from './errors.ts';
export { placeRoles, protocolCount, type RoleName } from './placement.ts';
export { CapturePipeline, type CaptureReport, type PipelineOptions } from './run.ts';
