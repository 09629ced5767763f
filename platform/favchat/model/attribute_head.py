"""What a clip shows, read off the adapter's tokens before any word is said: a logit and two tokens for each attribute.

The language model gets two more tokens for each attribute that the model was taught: its name, and how likely it is.
Saying what it sees is then a matter of reading, and words and scores come from the same place.

Shapes: V videos, T frames, S visual tokens a frame, D adapter width, M measures of motion, A taught attributes, H
language-model width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy

from favchat.labels.attributes import EMOTION, UNKNOWN, attribute
from favchat.model.configuration_favchat import FaVChatAdapterConfig
from favchat.video.mesh_features import MESH_FEATURES
from favchat.video.motion import MOTION_FEATURES
from favchat.video.mouth import MOUTH_FEATURES

STATES = 4
"""What an attribute's token is made of beside its name: absent, present, likely, not to be seen."""


class FaVChatAttributeHead(nn.Module):
    """A logit for each taught attribute.

    The logits know no prior: 0 is where an attribute is as likely as not if it were present in half of all clips. How
    frequent it was in training is kept beside them (logit adjustment, Menon et al. 2021, arXiv 2007.07314), so that
    both kinds of probability can be had. The emotions exclude each other and have a softmax, with their frequency in
    it.
    """

    def __init__(self, config: FaVChatAdapterConfig):
        super().__init__()
        places, count = config.vision_grid**2 + config.face_grid**2, len(config.attributes)
        names = [emotion.name for emotion in EMOTION]
        emotions = [index for index, name in enumerate(config.attributes) if name in names]
        self.norm = nn.LayerNorm(config.hidden_size)
        self.dropout = nn.Dropout(config.attribute_dropout)
        self.linear = nn.Linear(places * config.hidden_size, count)
        self.motion = nn.Sequential(
            nn.Linear(MOTION_FEATURES, config.motion_size), nn.GELU(), nn.Linear(config.motion_size, count)
        )
        # Linear: three measures, and few labelled clips of people who talk.
        self.mouth = nn.Linear(MOUTH_FEATURES, count, bias=False) if config.mouth_motion else None
        # Linear as well: what a network made for this tells of lips and lids, which the encoders see coarsely.
        self.mesh = nn.Linear(MESH_FEATURES, count, bias=False) if config.face_mesh else None
        self.register_buffer("prior", torch.zeros(count))
        self.emotions = emotions

    def forward(self, tokens_VTSD: Tensor, motion_VM: Tensor, visible_VT: Tensor) -> Tensor:
        """`(V, A)` float32 logits of the mean over the frames in which the face is visible, of all where it never is.

        Args:
            tokens_VTSD: The adapter's tokens after the experts.
            motion_VM: See :func:`favchat.video.motion.motion_features` and
                :func:`favchat.video.face_measures.face_measures`, whose measures follow.
            visible_VT: Whether a frame has the face.
        """
        seen = torch.where(visible_VT.any(dim=1, keepdim=True), visible_VT, True)  # (V, T)
        weight = (seen / seen.sum(dim=1, keepdim=True)).to(tokens_VTSD.dtype)[..., None, None]
        pooled_VSD = self.norm((tokens_VTSD * weight).sum(dim=1))
        looks = self.linear(self.dropout(pooled_VSD).flatten(1))
        motion_VM = motion_VM.to(looks.dtype)
        logits = looks + self.motion(motion_VM[:, :MOTION_FEATURES])
        # Features saved before a measure was known end before it; a model that does not read it takes them.
        crops_VM = motion_VM[:, MOTION_FEATURES:]
        if self.mouth is not None:
            logits = logits + self.mouth(crops_VM[:, :MOUTH_FEATURES])
        if self.mesh is not None:
            logits = logits + self.mesh(crops_VM[:, MOUTH_FEATURES:])
        return logits.float()

    def natural(self, logits: Tensor) -> Tensor:
        """Logits `(V, A)` with the frequencies of the training clips in them."""
        prior: Tensor = self.get_buffer("prior")
        return logits + prior

    def probabilities(self, logits: Tensor) -> Tensor:
        """`(V, A)`, emotions sum to 1; an attribute's are those of equal frequency."""
        values = logits.sigmoid()
        if self.emotions:
            values = values.clone()
            values[:, self.emotions] = logits[:, self.emotions].softmax(dim=-1)
        return values

    def scores_and_likely(self, logits: Tensor) -> Tensor:
        """`(V, 2, A)`: the probabilities at equal frequency, and those at the training clips' frequency."""
        return torch.stack([self.probabilities(logits), self.probabilities(self.natural(logits))], dim=1)

    def loss(self, logits: Tensor, labels: Tensor, weights: Tensor | None = None) -> Tensor:
        """Mean cross-entropy of the known labels, each attribute's mean counting alike.

        Args:
            logits: `(V, A)`.
            labels: `(V, A)` 1, 0 or :data:`favchat.labels.attributes.UNKNOWN`; of the emotions, one is 1 and the others
                0, or all are unknown.
            weights: `(V,)`, what each video counts for; None: the same.
        """
        weights = torch.ones_like(logits[:, 0]) if weights is None else weights.to(logits.dtype)
        known = labels != UNKNOWN
        plain = known.clone()
        plain[:, self.emotions] = False
        targets = labels.clamp(min=0).to(logits.dtype)
        each = binary_cross_entropy_with_logits(self.natural(logits), targets, reduction="none") * plain
        total = (each.sum(dim=1) * weights).sum() / weights.sum().clamp(min=1e-6)
        if self.emotions:
            told = known[:, self.emotions].all(dim=1)
            if told.any():
                wanted = targets[told][:, self.emotions].argmax(dim=1)
                wrong = cross_entropy(logits[told][:, self.emotions], wanted, reduction="none")
                total = total + EMOTION_WEIGHT * (wrong * weights[told]).sum() / weights.sum().clamp(min=1e-6)
        return total


EMOTION_WEIGHT = 2.0
"""What the emotion counts for beside an attribute: it is one label of eight."""


class FaVChatAttributeTokens(nn.Module):
    """Two tokens for each taught attribute, as in "glasses yes": its name, and where between no and yes it lies.

    One behind the other and not added up: that a word is followed by what it was followed by before, a language model
    knows already.
    """

    def __init__(self, config: FaVChatAdapterConfig):
        super().__init__()
        # Embeddings, not bare parameters: ZeRO-3 gathers a weight when the module that owns it is called.
        self.name = nn.Embedding(len(config.attributes), config.output_size)
        self.state = nn.Embedding(STATES, config.output_size)

    def forward(self, present_VA: Tensor, likely_VA: Tensor, visible_V: Tensor) -> Tensor:
        """`(V, 2 A, H)`, of each attribute the name, then the state.

        Args:
            present_VA: Probability at equal frequency.
            likely_VA: Probability at the training clips' frequency.
            visible_V: Whether any frame has the face; without one the attributes are not to be seen.
        """
        places = torch.arange(self.name.num_embeddings, device=present_VA.device)
        absent, present, likely, unseen = self.state(torch.arange(STATES, device=present_VA.device))
        dtype = absent.dtype
        state = (
            (1 - present_VA).to(dtype)[..., None] * absent
            + present_VA.to(dtype)[..., None] * present
            + likely_VA.to(dtype)[..., None] * likely
        )
        state = torch.where(visible_V[:, None, None], state, unseen)
        names = self.name(places).expand_as(state)
        return torch.stack([names, state], dim=2).flatten(1, 2)


KEYWORDS = {
    "male": "man",
    "young": "young",
    "senior": "old",
    "black_hair": "black",
    "blonde_hair": "blonde",
    "gray_hair": "gray",
    "brown_hair": "brown",
    "straight_hair": "straight",
    "wavy_hair": "wavy",
    "long_hair": "long",
    "bangs": "bang",
    "receding_hairline": "forehead",
    "chubby": "fat",
    "double_chin": "chin",
    "eyeglasses": "glasses",
    "sunglasses": "sun",
    "wearing_hat": "hat",
    "wearing_necktie": "tie",
    "wearing_earrings": "ear",
    "wearing_necklace": "neck",
    "wearing_lipstick": "lip",
    "heavy_makeup": "makeup",
    "no_beard": "shaved",
    "mustache": "must",
    "goatee": "goat",
    "full_beard": "beard",
    "5_o_clock_shadow": "shadow",
    "mouth_open": "mouth",
    "close_eyes": "eyes",
    "look_away": "away",
    "head_wagging": "tilt",
    "shake_head": "shake",
    "blurry": "blur",
}
"""Words that the tokens of attributes start as where the name itself is not a short word."""


def keyword(name: str) -> str:
    """One short word for an attribute."""
    return KEYWORDS.get(name, attribute(name).phrase.split(" ")[-1] if "_" in name else name)
