import { onKernel } from "./kernel";

onKernel("sid");
