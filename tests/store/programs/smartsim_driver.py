"""A driver as SmartSim's users write it: a database, a model, inference, a list of data sets."""

import io
import sys
from pathlib import Path

import numpy as np
import torch
from smartredis import Client
from smartredis import Dataset
from smartsim import Experiment

SCRIPT = """
def normalize(x):
    return (x - x.mean()) / x.std()
"""


class Network(torch.nn.Module):
    """Four features to one answer."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Linear(4, 8), torch.nn.ReLU(), torch.nn.Linear(8, 1)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Run the network."""
        return self.layers(x)


torch.manual_seed(1)
network = Network().eval()
buffer = io.BytesIO()
torch.jit.save(torch.jit.trace(network, torch.ones(1, 4)), buffer)
Path("network.pt").write_bytes(buffer.getvalue())

# The database
exp = Experiment("tutorial", launcher="local")
db = exp.create_database(port=int(sys.argv[1]), interface="lo")
exp.generate(db, overwrite=True)
exp.start(db)
print("database at", db.get_address())

# Tensors, a model and a script, from the driver
client = Client(address=db.get_address()[0], cluster=False)
features = np.random.default_rng(1).random((10, 4), np.float32)
client.put_tensor("features", features)
np.testing.assert_array_equal(client.get_tensor("features"), features)
client.set_model("network", buffer.getvalue(), "TORCH", device="CPU")
client.run_model("network", inputs=["features"], outputs=["answers"])
with torch.no_grad():
    expected = network(torch.from_numpy(features)).numpy()
np.testing.assert_allclose(client.get_tensor("answers"), expected, rtol=1e-5)
client.set_script("statistics", SCRIPT, device="CPU")
client.run_script("statistics", "normalize", inputs=["features"], outputs=["normal"])
assert abs(client.get_tensor("normal").mean()) < 1e-6

# An application that gets its model and its script from SmartSim, and gives a list of data sets
settings = exp.create_run_settings(sys.executable, exe_args=["application.py", "3"])
application = exp.create_model("application", settings)
application.add_ml_model("eke", "TORCH", model_path=str(Path("network.pt").resolve()), device="CPU")
application.add_script("scale", script=SCRIPT, device="CPU")
application.attach_generator_files(to_copy=[str(Path(__file__).with_name("application.py"))])
exp.generate(application, overwrite=True)
exp.start(application, block=True, summary=False)
print("application", exp.get_status(application)[0])

# What it gave
assert client.poll_list_length("results", 3, 100, 50)
results = [Dataset.from_pybind(one) for one in client.get_datasets_from_list("results")]
for step, result in enumerate(results):
    assert result.get_meta_scalars("step")[0] == step
    assert result.get_tensor("eke").shape == (5, 1)
    print("result", result.get_name())

exp.stop(db)
print("stopped")
