import copy
import json

import torch

from favchat.hub.load import load
from favchat.video import ClipSpecification

NEW_IN_0_2 = ("attribute_dropout", "attribute_loss_coef", "attributes", "motion_size")
"""Keys of the adapter's configuration that a directory written by 0.1 does not have."""


def test_a_directory_of_0_1_loads_with_the_defaults_of_what_it_does_not_name(tiny, tmp_path):
    model, processor = copy.deepcopy(tiny)
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    del config["attribute_token_id"]
    for name in NEW_IN_0_2:
        del config["adapter_config"][name]
    (tmp_path / "config.json").write_text(json.dumps(config))
    settings = json.loads((tmp_path / "processor_config.json").read_text())
    settings |= settings.pop("video_processor")  # they lay side by side
    del settings["attributes"], settings["clip"], settings["video_processor_type"]
    (tmp_path / "processor_config.json").write_text(json.dumps(settings))

    loaded, its_processor = load(str(tmp_path))
    assert its_processor.clip_specification == ClipSpecification()
    assert its_processor.attributes == []
    tensors = loaded.state_dict()
    assert all(torch.equal(value, tensors[name]) for name, value in model.state_dict().items())
