import { onKernel } from "./kernel";

onKernel("5.10");
