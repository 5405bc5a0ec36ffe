import { onKernel } from "./kernel";

onKernel("6.1");
