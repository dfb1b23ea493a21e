// AI.INFO: what a model or a script has done so far.
#pragma once

#include "command.h"

namespace tensorstore {

int info(RedisModuleCtx* context, Arguments& arguments);

}  // namespace tensorstore
